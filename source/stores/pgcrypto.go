package stores

import (
	"context"
	"errors"
	"strconv"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// pgcrypto is a table of the team's own whose tokens Postgres' extension pgcrypto
// encrypted: pgp_sym_encrypt, or the raw encrypt and encrypt_iv. Facts: the
// extension's documentation, and values that Postgres 15 and 18 made. They are
// opened here and not in SQL, where the passphrase could end in the server's log
// and one damaged value would fail a whole page. Tables and columns belong to each
// application, so the table must be given.
var pgcrypto = &Store{
	Name: "pgcrypto", Aliases: []string{"pgp"},
	Title:   "pgcrypto columns",
	Summary: "one row per grant in a table that you name; bytea or text columns made by pgp_sym_encrypt or encrypt",
	Params: pgcryptoTable.params(append([]Param{
		{Name: "function", Default: "pgp", Doc: "what made the values: pgp: pgp_sym_encrypt, also armored or encoded; encrypt: encrypt or encrypt_iv", Choices: []string{"pgp", "encrypt"}},
		{Name: "type", Default: "aes", Doc: "of encrypt: its third argument, such as aes, aes-cbc/pad:pkcs or bf"},
		plainMarked.of("of pgp: "),
	}, besideParams("iv")...)...),
	Cipher: "OpenPGP with a passphrase; or AES or Blowfish as encrypt makes them",
	Keys: []Key{
		{Name: "encryption_key", Env: "PGCRYPTO_KEY", Doc: `the passphrase; of encrypt: the key, in hexadecimal if it begins with \x`},
		{Name: "old_keys", Doc: "older ones, separated by commas", Needed: neverNeeded},
	},
	Skips: tableSkips(),
	Warnings: []string{
		"Values of pgp_pub_encrypt, for a public key, cannot be opened: let Postgres open them in a query of your own.",
		"Values of encrypt and encrypt_iv carry no check: with another key a few of them may open to nonsense that looks like text.",
	},
	MissingExpiry: lasting(),
	Find:          pgcryptoTable.find,
	Query:         func(p Params) string { return tableQuery(p, besideSQL(p, "iv")...) },
	Opener:        openPGCrypto,
}

var pgcryptoTable = &ownTable{settle: func(_ *Catalogue, t *Table, p, given Params) (string, bool) {
	if given["function"] != "encrypt" {
		return "pgp_sym_encrypt", true
	}
	return "encrypt", findBeside(t, p, given, "iv")
}}

func openPGCrypto(_ context.Context, _ *DB, p Params, keys Keys) (source.Opener, error) {
	all := append(keys.anyText("encryption_key"), keys.List("old_keys")...)
	if p["function"] != "encrypt" {
		c, err := cipher.NewPGP(all...)
		if err != nil {
			return nil, err
		}
		return newTableOpener(p, nil, guardedCipher(c, p))
	}
	c, err := cipher.NewPGRaw(cipher.PGRawOptions{Type: p["type"]}, all...)
	var wrong *cipher.KeyError
	if errors.As(err, &wrong) && wrong.Name == "type" {
		return nil, paramError("type", strconv.Quote(p["type"])+" "+wrong.Problem)
	}
	if err != nil {
		return nil, err
	}
	return newTableOpener(p, besideInputs(p, "iv"), func(name, _ string) (sealedColumn, error) {
		return sealedColumn{cipher: c, with: beside(p, name, "iv"), strict: true}, nil
	})
}
