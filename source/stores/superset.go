package stores

import (
	"context"
	"errors"
	"strconv"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// superset is Apache Superset's table of OAuth tokens for the databases that it
// queries in the name of its users. Facts: apache/superset, its migration
// 678eefb4ab44 and its model DatabaseUserOAuth2Tokens.
var superset = &Store{
	Name: "superset", Aliases: []string{"apache-superset"},
	Title:   "Apache Superset",
	Summary: "one row per user and database in database_user_oauth2_tokens, encrypted",
	Params: []Param{
		{Name: "table", Default: "database_user_oauth2_tokens", Doc: "the table of tokens"},
		{Name: "databases", Default: "dbs", Doc: "the table of databases, whose names are the providers; empty: their ids are"},
		{Name: "engine", Default: "aes", Doc: "of the encrypted columns, where SQLALCHEMY_ENCRYPTED_FIELD_TYPE_ADAPTER changes it", Choices: sqlEngines},
		{Name: "timezone", Doc: "the server's time zone, such as Europe/Berlin, in which Superset writes expiries; empty: UTC"},
		scopesParam,
	},
	Cipher: "SQLAlchemy-Utils' EncryptedType: AES-256-CBC with a fixed IV under the SHA-256 of the secret",
	Keys: []Key{
		{Name: "secret_key", Env: "SUPERSET_SECRET_KEY", Doc: "SECRET_KEY of Superset's configuration"},
		{Name: "previous_secret_key", Env: "PREVIOUS_SECRET_KEY", Doc: "the key before, if it was changed and values were not re-encrypted", Needed: neverNeeded},
	},
	Skips: skips(skipNoToken, skipOlder),
	Warnings: []string{
		"Superset writes expiries by its server's local clock: set the parameter timezone unless that is UTC.",
		"Providers are the names that the databases have in Superset.",
	},
	MissingExpiry: short(),
	Find:          findSuperset,
	Query: func(p Params) string {
		provider, from := "t.database_id::text", tableSQL(p["table"])+" AS t"
		if p["databases"] != "" {
			provider = "d.database_name::text"
			from += " LEFT JOIN " + tableSQL(p["databases"]) + " AS d ON d.id = t.database_id"
		}
		expires := "t.access_token_expiration AS expires_at"
		if p["timezone"] != "" {
			expires = "t.access_token_expiration::text AS " + tableExpiresAt
		}
		return selectSQL(from, "t.id AS key", provider+" AS provider", "t.access_token", "t.refresh_token", expires, "t.user_id AS subject_id",
			scopesSQL(p, provider),
			`CASE WHEN EXISTS (SELECT FROM `+tableSQL(p["table"])+` AS n WHERE n.user_id = t.user_id AND n.database_id = t.database_id AND n.id > t.id) THEN 'older_copy'
    WHEN coalesce(t.access_token::text, '') IN ('', '\x') THEN 'no_token' END AS skip`)
	},
	Opener: func(_ context.Context, _ *DB, p Params, keys Keys) (source.Opener, error) {
		return openSQLAlchemy(Params{"access_token": "access_token", "refresh_token": "refresh_token", "expires_at": "access_token_expiration",
			"timezone": p["timezone"], "engine": p["engine"]}, keys, "secret_key", "previous_secret_key")
	},
}

func findSuperset(c *Catalogue, given Params) []Match {
	var matches []Match
	for _, t := range candidates(c, given, "id", "user_id", "database_id", "access_token", "access_token_expiration", "refresh_token") {
		m := Match{Params: Params{"table": t.String(), "databases": ""}, Variant: "table " + t.SQL(), Tables: []*Table{t}}
		if d := companion(c, given, "databases", t, "dbs", "id", "database_name"); d != nil {
			m.Params["databases"] = d.String()
		} else if given["databases"] != "" {
			continue
		} else {
			m.Warnings = []string{"The table of databases, dbs, cannot be read: providers are the databases' ids."}
		}
		matches = append(matches, m)
	}
	return matches
}

// sqlAlchemyUtils is a Python application's own table whose tokens are in columns
// of SQLAlchemy-Utils' EncryptedType or StringEncryptedType. Facts:
// kvesteri/sqlalchemy-utils. The table must be given.
var sqlAlchemyUtils = &Store{
	Name: "sqlalchemy-utils", Aliases: []string{"sqlalchemy", "encryptedtype"},
	Title:   "SQLAlchemy-Utils encrypted columns (Python)",
	Summary: "one row per grant in a table that you name; columns of EncryptedType or StringEncryptedType",
	Params: sqlAlchemyTable.params(
		Param{Name: "engine", Default: "aes", Doc: "the column's engine: aes is AesEngine, the default", Choices: sqlEngines},
		Param{Name: "padding", Default: "naive", Doc: "AesEngine's padding", Choices: []string{"naive", "pkcs5", "oneandzeroes", "zeroes"}},
	),
	Cipher: "AES-256-CBC with a fixed IV, AES-256-GCM or Fernet, under the SHA-256 of the secret",
	Keys: []Key{
		{Name: "encryption_key", Env: "SECRET_KEY", Doc: "the column's secret, any text; several separated by commas, the newest first"},
		{Name: "old_keys", Doc: "older secrets, separated by commas", Needed: neverNeeded},
	},
	Skips:         tableSkips(),
	MissingExpiry: lasting(),
	Find:          sqlAlchemyTable.find,
	Query:         func(p Params) string { return tableQuery(p) },
	Opener: func(_ context.Context, _ *DB, p Params, keys Keys) (source.Opener, error) {
		return openSQLAlchemy(p, keys, "encryption_key", "old_keys")
	},
}

var sqlAlchemyTable = &ownTable{}

var sqlEngines = []string{"aes", "aes-gcm", "fernet"}

// openSQLAlchemy opens columns, all of which are encrypted: there is no telling
// by the value.
func openSQLAlchemy(p Params, keys Keys, names ...string) (source.Opener, error) {
	o := cipher.SQLAlchemyOptions{Engine: p["engine"], Padding: p["padding"]}
	secrets := keyTexts(keys, names[0])
	for _, name := range names[1:] {
		secrets = append(secrets, keyTexts(keys, name)...)
	}
	c, err := cipher.NewSQLAlchemy(o, secrets...)
	var wrong *cipher.KeyError
	if errors.As(err, &wrong) {
		return nil, paramError(wrong.Name, strconv.Quote(p[wrong.Name])+" "+wrong.Problem)
	}
	return newTableOpener(p, nil, func(string, string) (sealedColumn, error) { return sealedColumn{cipher: c, strict: true}, nil })
}
