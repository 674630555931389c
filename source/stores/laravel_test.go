package stores

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tokenmigrate/source"
)

// Keys of the values in cipher/testdata/laravel-*.json.
const (
	laravelKey    = "base64:dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z/0Me0="
	laravelOldKey = "base64:P8TM/nRYcOLA2Z9x8w/wZWyN7dQcwdfT03aw2+aF4vM="
	laravelWrong  = "base64:bm90LXRoZS1rZXktbm90LXRoZS1rZXktbm90LXRoZS0="
)

func init() {
	keys := Keys{"app_key": secret(laravelKey), "previous_keys": secret("base64:k5Apjz+wxbFgSYk115yxOa7yjhxHNYtLu6YYYrnCblk=, " + laravelOldKey)}
	wrong := Keys{"app_key": secret(laravelWrong)}
	fixtures = append(fixtures,
		laravelSocialstream(keys, wrong), laravelTutorial(keys, wrong), laravelUsers("", nil), laravelUsers("github", Params{"table": "users", "provider_name": "github"}),
		laravelBerlin(), laravelResponse(keys, wrong))
}

// laravelSocialstream is Socialstream's connected_accounts with encrypted casts:
// made by Laravel 10 and 8, old keys, serialised and plain values, OAuth 1.
func laravelSocialstream(keys, wrong Keys) fixture {
	f := fixture{store: "laravel", name: "Socialstream", variant: "table public.connected_accounts (provider, access_token: token, refresh_token, expires_at, user_id)",
		given: Params{"plain": "allowed"}, keys: keys, wrong: wrong, decrypted: 8, plain: 2,
		sql: []string{`CREATE TABLE connected_accounts (id bigserial PRIMARY KEY, user_id bigint NOT NULL, provider varchar(255) NOT NULL, provider_id varchar(255) NOT NULL,
			name varchar(255), nickname varchar(255), email varchar(255), telephone varchar(255), avatar_path text, token text NOT NULL, secret varchar(1000),
			refresh_token text, expires_at timestamp(0) without time zone, created_at timestamp(0) without time zone, updated_at timestamp(0) without time zone,
			deleted_at timestamp(0) without time zone)`}}
	add := func(n int, want, provider string, values ...any) {
		f.sql = append(f.sql, fmt.Sprintf(`INSERT INTO connected_accounts (id, user_id, provider, provider_id, name, token, refresh_token, expires_at, secret, deleted_at)
			VALUES (%s)`, quoted(append([]any{n, 100 + n, provider, fmt.Sprintf("acc-%d", n), "Ada"}, values...)...)))
		if f.want == nil {
			f.want = map[string]string{}
		}
		f.want[fmt.Sprint(n)] = want
	}
	token := func(n int, provider, access, refresh, expires string) string {
		if refresh != "" {
			refresh = fmt.Sprintf(`"refreshToken":%q,`, refresh)
		}
		return fmt.Sprintf(`{"provider":"%s","accessToken":%q,%s"expiresAt":%s,"subject":"%d","externalSubject":"acc-%d"}`, provider, access, refresh, expires, 100+n, n)
	}
	of := func(name string) string { return sealedValue("laravel-10", name) }
	const at, ms = "2030-01-01 00:00:00", "1893456000000"
	add(1, token(1, "google", "ya29.laravel-cbc", "ya29.laravel-gcm", ms), "google", of("aes-256-cbc"), of("aes-256-gcm"), at, nil, nil)
	add(2, token(2, "google", "ya29.previous-cbc", "1//plain-é", ms), "google", of("a previous key, CBC"), "1//plain-é", at, nil, nil)
	add(3, token(3, "google", `ya29."quoted";é`, "ya29.previous-gcm", ms), "google", of("serialized string, CBC"), of("a previous key, GCM"), at, nil, nil)
	add(4, token(4, "github", "gho_plain", "", `"made up"`), "github", "gho_plain", nil, nil, nil, nil)
	add(5, token(5, "google", longToken, "", ms), "google", of("64 KiB"), "", at, nil, nil)
	add(6, "decrypt_failed", "google", of("aes-256-cbc")[:120], nil, at, nil, nil)
	add(7, "oauth1", "twitter", "1-oauth1", nil, nil, "s3cret", nil)
	add(8, "deleted", "google", of("aes-256-cbc"), nil, at, nil, at)
	add(9, "no_token", "google", "", "1//r", at, nil, nil)
	add(10, "no_token", "google", of("empty, CBC"), nil, at, nil, nil)
	add(11, "missing_expiry", "google", of("aes-256-cbc"), nil, "1970-01-01 00:00:00", nil, nil)
	return f
}

// laravelTutorial has other names for all, and a unique column that holds a
// token, which must not become the key.
func laravelTutorial(keys, wrong Keys) fixture {
	return fixture{store: "laravel", name: "tutorial", variant: "table public.social_logins (provider: driver, access_token, refresh_token: provider_refresh_token, expires_at: token_expires_at",
		keys: keys, wrong: wrong, decrypted: 1,
		sql: []string{
			`CREATE TABLE social_logins (access_token text NOT NULL UNIQUE, uuid uuid PRIMARY KEY, user_id uuid, driver varchar(30), provider_user_id varchar(255), provider_refresh_token text,
				token_expires_at integer, scopes jsonb, created_at timestamp(0), updated_at timestamp(0))`,
			`INSERT INTO social_logins VALUES (` + quoted(sealedValue("laravel-8", "aes-256-cbc"), idOf("uuid", 1), idOf("uuid", 101), "google", "acc-1", nil, 1893456000, `["openid","email"]`) + `),
				(` + quoted("", idOf("uuid", 2), nil, nil, nil, nil, nil, nil) + `)`,
		},
		want: map[string]string{
			idOf("uuid", 1): `{"provider":"google","accessToken":"ya29.laravel-cbc","expiresAt":1893456000000,"subject":"` + idOf("uuid", 101) + `","externalSubject":"acc-1","scopes":["openid","email"]}`,
			idOf("uuid", 2): "no_token",
		}}
}

// laravelUsers has tokens as columns of users, as Socialite's documentation does.
func laravelUsers(name string, given Params) fixture {
	f := fixture{store: "laravel", name: "columns of users", given: given, variant: "table public.users (provider_name: github, access_token: github_token, refresh_token: github_refresh_token, user_id: id)", plain: 2,
		sql: []string{
			`CREATE TABLE users (id bigserial PRIMARY KEY, name varchar(255), email varchar(255) UNIQUE, password varchar(255), remember_token varchar(100),
				github_id varchar(255), github_token varchar(255), github_refresh_token varchar(255), created_at timestamp(0), updated_at timestamp(0))`,
			`INSERT INTO users (id, github_id, github_token, github_refresh_token) VALUES (1, '77', 'gho_ä', 'ghr_1'), (2, NULL, NULL, NULL)`,
		},
		want: map[string]string{"1": `{"provider":"github","accessToken":"gho_ä","refreshToken":"ghr_1","expiresAt":"made up","subject":"1","externalSubject":"77"}`, "2": "no_token"}}
	if name != "" {
		f.name += ", " + name + " given"
	}
	return f
}

// laravelBerlin was written in another time zone than UTC: summer and winter.
func laravelBerlin() fixture {
	return fixture{store: "laravel", name: "timezone", given: Params{"timezone": "Europe/Berlin"}, variant: "table public.oauth_providers", plain: 4,
		sql: []string{
			`CREATE TABLE oauth_providers (id serial PRIMARY KEY, user_id integer, provider varchar, provider_user_id varchar, access_token varchar, refresh_token varchar,
				expires_at timestamp(0), created_at timestamp(0), updated_at timestamp(0))`,
			`INSERT INTO oauth_providers VALUES (1, 5, 'google', 'a', 't1', '', '2030-07-01 02:00:00'), (2, 5, 'google', 'a', 't2', NULL, '2030-01-01 01:00:00'),
				(3, 5, 'google', 'a', 't3', NULL, NULL), (4, 5, 'google', 'a', 't4', NULL, 'infinity')`,
		},
		want: map[string]string{
			"1": `{"provider":"google","accessToken":"t1","expiresAt":1909094400000,"subject":"5","externalSubject":"a"}`,
			"2": `{"provider":"google","accessToken":"t2","expiresAt":1893456000000,"subject":"5","externalSubject":"a"}`,
			"3": "missing_expiry", "4": "missing_expiry",
		}}
}

// laravelResponse keeps the whole token response under an encrypted:array cast,
// and counts its lifetime from updated_at.
func laravelResponse(keys, wrong Keys) fixture {
	return fixture{store: "laravel", name: "encrypted array", given: Params{"table": "google_connections", "provider_name": "google", "response": "oauth"}, keys: keys, wrong: wrong,
		variant: "table public.google_connections (provider_name: google, response: oauth, user_id", decrypted: 2,
		sql: []string{
			`CREATE TABLE google_connections (id serial PRIMARY KEY, user_id integer, oauth text, created_at timestamp(0), updated_at timestamp(0))`,
			`INSERT INTO google_connections VALUES (` + quoted(1, 5, sealedValue("laravel-10", "serialized array"), nil, "2026-11-24 11:00:00") + `), (` +
				quoted(2, 6, sealedValue("laravel-10", "aes-256-cbc"), nil, nil) + `), (3, 7, NULL, NULL, NULL)`,
		},
		want: map[string]string{
			"1": `{"provider":"google","accessToken":"ya29.in-array","expiresAt":1795521599000,"subject":"5","scopes":["a","é"]}`,
			"2": "decrypt_failed", // a token where a document should be
			"3": "no_token",
		}}
}

// A time zone that there is none of is a sentence.
func TestLaravel_RefusesUnknownTimezone(t *testing.T) {
	for _, zone := range []string{"Mars/Olympus", "Local", "../etc/passwd"} {
		_, err := laravel.Opener(t.Context(), nil, Params{"timezone": zone, "access_token": "token"}, nil)
		var bad *source.ConfigError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), "source.params.timezone") {
			t.Errorf("%s: got %v, want a *source.ConfigError that names source.params.timezone", zone, err)
		}
	}
}

// Where users have several providers' columns, each is a match of its own.
func TestLaravel_FindsEachProviderOfUsers(t *testing.T) {
	config := newDatabase(t, `CREATE TABLE users (id bigserial PRIMARY KEY, email text, remember_token text, github_id text, github_token text, google_id text, google_token text,
		google_refresh_token text, api_token text, created_at timestamp(0), updated_at timestamp(0))`)
	for given, want := range map[string]int{"": 2, "google": 1, "gitlab": 0} {
		db, err := Connect(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		c, err := db.Catalogue(t.Context())
		db.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := laravel.Find(c, Params{"provider_name": given}); len(got) != want {
			t.Errorf("provider_name %q: found %d, want %d", given, len(got), want)
		}
	}
}
