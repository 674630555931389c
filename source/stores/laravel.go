package stores

import (
	"context"
	"strings"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// laravel is a Laravel application's own table of what Socialite gave it, and
// Socialstream's. Facts: laravel/framework at 13 for the encrypted casts;
// Socialite's documentation and the usual starter kits for tables and columns,
// all of which are parameters. Such tables are known by Laravel's timestamps,
// timestamp(0), beside a provider, its id of the user and a token; and by pairs
// such as github_id and github_token in a table of users.
var laravel = &Store{
	Name: "laravel", Aliases: []string{"socialite", "socialstream"},
	Title:   "Laravel (Socialite, Socialstream)",
	Summary: "the app's own table, such as connected_accounts, or columns of users; plain or with encrypted casts",
	Params:  laravelTable.params(plainMarked),
	Cipher:  "AES-CBC with HMAC or AES-GCM, in Laravel's envelope",
	Keys: []Key{
		{Name: "app_key", Env: "APP_KEY", Doc: "the application's key, as in its .env: base64:..."},
		{Name: "previous_keys", Env: "APP_PREVIOUS_KEYS", Doc: "older keys, separated by commas", Needed: neverNeeded},
	},
	Skips: tableSkips(),
	Warnings: []string{
		"Laravel writes timestamps in the time zone of config/app.php: set the parameter timezone unless that is UTC.",
	},
	MissingExpiry: lasting(),
	Find:          laravelTable.find,
	Query:         func(p Params) string { return tableQuery(p) },
	Opener: func(_ context.Context, _ *DB, p Params, keys Keys) (source.Opener, error) {
		c, err := cipher.NewLaravel(append([]connect.Secret{keys["app_key"]}, keys.List("previous_keys")...)...)
		if err != nil {
			return nil, err
		}
		return newTableOpener(p, nil, guardedCipher(c, p))
	},
}

var laravelTable = &ownTable{usual: laravelNames, recognise: recogniseLaravel}

var laravelNames = map[string][]string{
	"provider":         {"provider", "provider_name", "driver", "social_provider"},
	"access_token":     {"token", "access_token", "provider_token", "social_token"},
	"refresh_token":    {"refresh_token", "provider_refresh_token", "social_refresh_token"},
	"external_subject": {"provider_id", "provider_user_id", "social_id"},
	"oauth1_secret":    {"secret"},
}

func recogniseLaravel(c *Catalogue) (found []tableMatch) {
	for _, t := range c.Tables {
		if !laravelTimestamps(t) {
			continue
		}
		has := func(param string) bool { return t.First(laravelNames[param]...) != "" }
		if has("provider") && has("external_subject") && has("access_token") {
			found = append(found, tableMatch{t, nil})
			continue
		}
		for _, column := range t.Columns {
			provider, ok := strings.CutSuffix(column.Name, "_token")
			if ok && t.Has(provider+"_id") && t.Has("email") && t.Has("remember_token") && !strings.HasSuffix(provider, "_refresh") {
				known := Params{"provider_name": provider, "access_token": column.Name, "user_id": "id", "external_subject": provider + "_id"}
				found = append(found, tableMatch{t, known})
			}
		}
	}
	return found
}

// laravelTimestamps reports whether a table has created_at and updated_at as
// Laravel's migrations make them.
func laravelTimestamps(t *Table) bool {
	for _, name := range []string{"created_at", "updated_at"} {
		if c, _ := t.Column(name); c.Type != "timestamp(0) without time zone" && c.Type != "timestamp(0) with time zone" {
			return false
		}
	}
	return true
}
