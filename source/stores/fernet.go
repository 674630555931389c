package stores

import (
	"context"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// fernet is a Python application's own table whose tokens are Fernet's: with
// cryptography's Fernet or MultiFernet itself, django-fernet-fields (bytea
// columns), or keys made by SHA-256. Facts: cryptography (PyPI) at 48,
// django-fernet-fields at its last release. Tables and columns belong to each
// application, so the table must be given.
var fernet = &Store{
	Name: "fernet", Aliases: []string{"django-fernet-fields", "python-fernet"},
	Title:   "Fernet columns (Python)",
	Summary: "one row per grant in a table that you name; text or bytea columns with Fernet values, or plain ones",
	Params: fernetTable.params(
		Param{Name: "derive", Default: "direct", Doc: "how keys are made of the configured texts: direct: they are Fernet keys; django: by django-fernet-fields' HKDF; sha256: by SHA-256", Choices: []string{"direct", "django", "sha256"}}),
	Cipher: "Fernet: AES-128-CBC with HMAC-SHA256; each value is told by itself",
	Keys: []Key{
		{Name: "encryption_key", Env: "FERNET_KEY", Doc: "the key, or with derive the secret, such as Django's SECRET_KEY; several separated by commas, the newest first"},
		{Name: "old_keys", Doc: "older keys, separated by commas", Needed: neverNeeded},
	},
	Skips: tableSkips(),
	Warnings: []string{
		"django-fernet-fields derives keys unless FERNET_USE_HKDF is off: set the parameter derive to django, and give FERNET_KEYS or else SECRET_KEY.",
	},
	MissingExpiry: lasting(),
	Find:          fernetTable.find,
	Query:         func(p Params) string { return tableQuery(p) },
	Opener: func(_ context.Context, _ *DB, p Params, keys Keys) (source.Opener, error) {
		from := map[string]cipher.FernetKeys{"django": cipher.FernetDjango, "sha256": cipher.FernetSHA256}[p["derive"]]
		texts := []connect.Secret{keys["encryption_key"]}
		if from != cipher.FernetDirect { // else the cipher takes lists apart
			texts = keyTexts(keys, "encryption_key")
		}
		c, err := cipher.NewFernet(from, append(texts, keys.List("old_keys")...)...)
		if err != nil {
			return nil, err
		}
		return newTableOpener(p, nil, sameCipher(c))
	},
}

var fernetTable = &ownTable{}
