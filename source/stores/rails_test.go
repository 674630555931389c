package stores

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tokenmigrate/source"
)

// The keys of cipher/testdata/rails.json.
var (
	railsKeys = Keys{"primary_key": secret("oldest-3kD0s, middle-9fLq2, newest-Zc71e, primary-Jf83kd02Lq"), "deterministic_key": secret("deterministic-Pw91m"),
		"key_derivation_salt": secret("salt-Xz55Tr0c,salt-before-0Ak"), "old_keys": secret("scheme-before-7Gq,det-before-1Ms"),
		"raw_key": secret("070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9e0")}
	railsWrong = Keys{"primary_key": secret("another-primary-key"), "key_derivation_salt": secret("salt-Xz55Tr0c")}
)

func init() {
	fixtures = append(fixtures, railsIdentities(), railsOwners(), railsLockboxed(), railsLockboxedOtherwise(), railsLockboxMigrating(), railsClear())
	for _, v := range []struct{ file, name, mode, options string }{
		{"attr-encrypted-4", "", "per_attribute_iv", ""},
		{"attr-encrypted-3", "_and_salt", "per_attribute_iv_and_salt", ""},
		{"attr-encrypted-3", ", CBC", "per_attribute_iv", "aes-256-cbc"},
	} {
		fixtures = append(fixtures, railsAttributes(v.file, v.name, v.mode, v.options))
	}
	fixtures = append(fixtures, railsSingleIV())
}

// railsIdentities has Active Record Encryption in all its modes, and plain rows
// of the time before.
func railsIdentities() fixture {
	f := fixture{store: "rails", name: "Active Record Encryption", variant: "Active Record Encryption or plain, table public.identities (provider, access_token: token, refresh_token, expires_at, user_id)",
		given: Params{"plain": "allowed"}, keys: railsKeys, wrong: railsWrong, plain: 3, decrypted: 10, want: map[string]string{},
		sql: []string{
			`CREATE TABLE ar_internal_metadata (key varchar PRIMARY KEY, value varchar, created_at timestamp(6) NOT NULL DEFAULT now(), updated_at timestamp(6) NOT NULL DEFAULT now())`,
			`CREATE TABLE identities (id bigserial PRIMARY KEY, user_id bigint, provider varchar, uid varchar, token text, refresh_token text, secret varchar, expires_at timestamp(6) without time zone,
				scope varchar, discarded_at timestamp(6), created_at timestamp(6) NOT NULL DEFAULT now(), updated_at timestamp(6) NOT NULL DEFAULT now())`,
		}}
	const at = "2030-01-01 00:00:00.123456"
	add := func(n int, want, provider string, values ...any) {
		f.sql = append(f.sql, fmt.Sprintf("INSERT INTO identities (id, user_id, provider, uid, scope, token, refresh_token, expires_at, secret, discarded_at) VALUES (%s)",
			quoted(append([]any{n, 100 + n, provider, fmt.Sprintf("acc-%d", n), "openid,email"}, values...)...)))
		f.want[fmt.Sprint(n)] = want
	}
	token := func(n int, access, refresh string) string {
		if refresh != "" {
			refresh = fmt.Sprintf(`"refreshToken":%q,`, refresh)
		}
		return fmt.Sprintf(`{"provider":"google_oauth2","accessToken":%q,%s"expiresAt":1893456000123,"subject":"%d","externalSubject":"acc-%d","scopes":["openid","email"]}`, access, refresh, 100+n, n)
	}
	of := func(name string) string { return sealedValue("rails", name) }
	add(1, token(1, "ya29.rails-sha256", "1//0g-dét-sha1"), "google_oauth2", of("non-deterministic, sha256"), of("deterministic, sha1"), at, nil, nil)
	add(2, token(2, longToken, "ya29.previous-det"), "google_oauth2", of("64 KiB"), of("a previous deterministic scheme"), at, nil, nil)
	add(3, token(3, "ya29.referenced", "ya29.envelope-ref"), "google_oauth2", of("a key reference"), of("envelope with a reference"), at, nil, nil)
	add(4, token(4, "ya29.raw", "ya29.plain-é"), "google_oauth2", of("a raw key of a key provider"), "ya29.plain-é", at, nil, nil)
	add(5, `{"provider":"github","accessToken":"gho_1","expiresAt":"made up","subject":"105","externalSubject":"acc-5","scopes":["openid","email"]}`, "github", "gho_1", nil, nil, nil, nil)
	add(6, "decrypt_failed", "google_oauth2", of("non-deterministic, sha256")[:60], nil, at, nil, nil)
	add(7, "oauth1", "twitter", "1-oauth1", nil, nil, "s3cret", nil)
	add(8, "deleted", "google_oauth2", of("deterministic, sha1"), nil, at, nil, at)
	add(9, "no_token", "saml", nil, nil, nil, nil, nil)
	add(10, "no_token", "google_oauth2", of("empty"), nil, at, nil, nil)
	add(11, "missing_expiry", "google_oauth2", of("compressed, sha1"), "x", nil, nil, nil)
	add(12, "missing_expiry", "google_oauth2", of("a list, the last encrypts"), nil, "infinity", nil, nil)
	return f
}

// railsOwners has polymorphic owners, users and others, and Unix seconds.
func railsOwners() fixture {
	return fixture{store: "rails", name: "polymorphic owners", variant: "Active Record Encryption or plain, table public.connected_accounts", plain: 8,
		sql: []string{
			`CREATE TABLE ar_internal_metadata (key varchar PRIMARY KEY, value varchar)`,
			`CREATE TABLE connected_accounts (id bigserial PRIMARY KEY, owner_type varchar, owner_id bigint, provider varchar, uid varchar, access_token varchar, access_token_secret varchar,
				refresh_token varchar, expires_at bigint, auth jsonb, created_at timestamp(6), updated_at timestamp(6))`,
			`INSERT INTO connected_accounts VALUES (1, 'User', 5, 'google', 'a', 't1', NULL, 'r1', 1893456000), (2, 'Account', 6, 'google', 'b', 't2', '', '', 1893456000),
				(3, NULL, 7, 'google', 'c', 't3', 's', 'r3', 253402300799), (4, 'Admin::User', 8, 'google', 'd', 't4', NULL, NULL, 0), (5, 'Team', NULL, 'google', 'e', 't5', NULL, NULL, 1893456000),
				(6, 'Person', 6, 'google', 'f', 't6', NULL, NULL, 1893456000)`,
		},
		want: map[string]string{
			"1": `{"provider":"google","accessToken":"t1","refreshToken":"r1","expiresAt":1893456000000,"subject":"5","externalSubject":"a"}`,
			"2": `{"provider":"google","accessToken":"t2","expiresAt":1893456000000,"subject":{"type":"app"},"tenant":{"id":"Account/6"},"externalSubject":"b"}`,
			"6": `{"provider":"google","accessToken":"t6","expiresAt":1893456000000,"subject":{"type":"app"},"tenant":{"id":"Person/6"},"externalSubject":"f"}`,
			"3": "missing_expiry", "4": "missing_expiry",
			"5": `{"provider":"google","accessToken":"t5","expiresAt":1893456000000,"subject":{"type":"app"},"externalSubject":"e"}`,
		}}
}

const lockboxMaster = "fc613b4dfd6736a7bd268c8a0e74ed0d1c04a959f59dd74ef2874983fd443fc9"

var lockboxWrong = Keys{"master_key": secret(strings.Repeat("0123456789abcdef", 4))}

// railsLockboxed has Lockbox's columns, which need no sign of Rails.
func railsLockboxed() fixture {
	of := func(name string) string { return sealedValue("lockbox", name) }
	return fixture{store: "rails", name: "Lockbox", variant: "Lockbox, table public.accounts (provider, access_token: access_token_ciphertext, refresh_token: refresh_token_ciphertext",
		keys: Keys{"master_key": secret(lockboxMaster), "key": secret("d15690f08a575024650b01ffac892cfd2b93e6c57c140f1b6d9e47753cabd579")}, wrong: lockboxWrong, decrypted: 5,
		sql: []string{
			`CREATE TABLE accounts (id uuid PRIMARY KEY, user_id uuid, provider varchar, uid varchar, access_token_ciphertext text, refresh_token_ciphertext text, expires_at timestamp(6), updated_at timestamp(6))`,
			`INSERT INTO accounts VALUES (` + strings.Join([]string{
				quoted(idOf("uuid", 1), idOf("uuid", 101), "google", "a", of("derived, unicode"), of("a key of its own"), "2030-01-01 00:00:00", nil),
				quoted(idOf("uuid", 2), idOf("uuid", 102), "google", "b", of("64 KiB"), "", "2030-01-01 00:00:00", nil),
				quoted(idOf("uuid", 3), idOf("uuid", 103), "google", "c", of("derived")[:30], nil, "2030-01-01 00:00:00", nil),
				quoted(idOf("uuid", 4), idOf("uuid", 104), "google", "d", nil, nil, nil, nil),
				quoted(idOf("uuid", 5), nil, "google", "e", of("padded"), nil, "2030-01-01 00:00:00", nil),
				quoted(idOf("uuid", 6), idOf("uuid", 106), "slack", "f", of("padded, sixteen bytes"), nil, nil, nil),
			}, "), (") + ")",
		},
		want: map[string]string{
			idOf("uuid", 1): `{"provider":"google","accessToken":"1//0g-é✓-トークン","refreshToken":"ya29.lockbox-direct","expiresAt":1893456000000,"subject":"` + idOf("uuid", 101) + `","externalSubject":"a"}`,
			idOf("uuid", 2): `{"provider":"google","accessToken":"` + longToken + `","expiresAt":1893456000000,"subject":"` + idOf("uuid", 102) + `","externalSubject":"b"}`,
			idOf("uuid", 3): "decrypt_failed", idOf("uuid", 4): "no_token", idOf("uuid", 5): "missing_subject",
			idOf("uuid", 6): `{"provider":"slack","accessToken":"0123456789abcde!","expiresAt":"made up","subject":"` + idOf("uuid", 106) + `","externalSubject":"f"}`,
		}}
}

// railsLockboxedOtherwise has Lockbox without base64, another algorithm, a key_table
// and a key_attribute.
func railsLockboxedOtherwise() fixture {
	return fixture{store: "rails", name: "Lockbox, options", given: Params{"table": "grants", "algorithm": "xchacha20, aes-gcm", "key_table": "accounts", "key_attribute": "access_token_ciphertext", "provider_name": "okta"},
		variant: "Lockbox, table public.grants (provider_name: okta, access_token: token_ciphertext", keys: Keys{"master_key": secret(lockboxMaster)}, wrong: lockboxWrong, decrypted: 2,
		sql: []string{
			`CREATE TABLE grants (id serial PRIMARY KEY, user_id integer, token_ciphertext bytea, expires_at integer)`,
			`INSERT INTO grants VALUES (1, 5, '\x` + sealedValue("lockbox", "derived, bytea") + `', 1893456000), (2, 6, '\x` + sealedValue("lockbox", "xchacha20, padded, bytea") + `', 1893456000), (3, 7, '', 0)`,
		},
		want: map[string]string{
			"1": `{"provider":"okta","accessToken":"ya29.lockbox-bytea","expiresAt":1893456000000,"subject":"5"}`,
			"2": `{"provider":"okta","accessToken":"ya29.xchacha20-padded","expiresAt":1893456000000,"subject":"6"}`,
			"3": "no_token",
		}}
}

// railsLockboxMigrating has a refresh token that is not encrypted yet.
func railsLockboxMigrating() fixture {
	return fixture{store: "rails", name: "Lockbox for one column", variant: "Lockbox, table public.accounts (provider, access_token: access_token_ciphertext, refresh_token,",
		keys: Keys{"master_key": secret(lockboxMaster)}, wrong: lockboxWrong, decrypted: 1, plain: 1,
		sql: []string{
			`CREATE TABLE accounts (id serial PRIMARY KEY, user_id integer, provider varchar, access_token text, access_token_ciphertext text, refresh_token text, expires_at timestamp(6))`,
			`INSERT INTO accounts VALUES (1, 5, 'google', NULL, '` + sealedValue("lockbox", "derived") + `', '1//0gAAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJKKKKLLLLMMMM', '2030-01-01')`,
		},
		want: map[string]string{"1": `{"provider":"google","accessToken":"ya29.lockbox-derived","refreshToken":"1//0gAAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJKKKKLLLLMMMM","expiresAt":1893456000000,"subject":"5"}`}}
}

// railsAttributes has attr_encrypted's columns; name is that of the value after
// its mode.
func railsAttributes(file, name, mode, algorithm string) fixture {
	value := strings.TrimSuffix("per_attribute_iv"+name, " ")
	plain := map[string]string{"": "ya29.attr-encrypted", "_and_salt": "ya29.attr-salted", ", CBC": "ya29.attr-cbc"}[name]
	with := sealedWith(file, value)
	salt, salts := "", []any{}
	if s, ok := with["salt"]; ok {
		salt, salts = ", encrypted_access_token_salt varchar", []any{s}
	}
	f := fixture{store: "rails", name: "attr_encrypted" + name, variant: "attr_encrypted, " + mode + ", table public.authorizations (provider, access_token: encrypted_access_token, refresh_token: encrypted_refresh_token",
		keys: Keys{"encryption_key": secret("attr-key-1-0123456789-abcdefghij")}, wrong: Keys{"encryption_key": secret("other-key-1-0123456789-abcdefghij")}, decrypted: 1,
		sql: []string{
			`CREATE TABLE authorizations (id serial PRIMARY KEY, user_id integer, provider varchar, uid varchar, encrypted_access_token text, encrypted_access_token_iv varchar,
				encrypted_refresh_token text, encrypted_refresh_token_iv varchar, expires_at integer` + salt + `)`,
			`INSERT INTO authorizations VALUES (` + quoted(append([]any{1, 5, "google", "a", sealedValue(file, value), with["iv"], nil, nil, 1893456000}, salts...)...) + `)`,
			`INSERT INTO authorizations (id, user_id, provider, encrypted_access_token, encrypted_access_token_iv) VALUES (2, 6, 'google', NULL, NULL), (3, 7, 'google', '` + sealedValue(file, value) + `', NULL)`,
		},
		want: map[string]string{
			"1": `{"provider":"google","accessToken":"` + plain + `","expiresAt":1893456000000,"subject":"5","externalSubject":"a"}`,
			"2": "no_token", "3": "decrypt_failed",
		}}
	if algorithm != "" {
		f.given = Params{"algorithm": algorithm}
	}
	return f
}

// railsSingleIV has attr_encrypted's oldest mode, which keeps no iv.
func railsSingleIV() fixture {
	return fixture{store: "rails", name: "attr_encrypted, single iv", given: Params{"table": "authorizations", "mode": "single_iv_and_salt"}, variant: "attr_encrypted, single_iv_and_salt, table public.authorizations",
		keys: Keys{"encryption_key": secret("a secret key")}, wrong: Keys{"encryption_key": secret("another secret key")}, decrypted: 2,
		sql: []string{
			`CREATE TABLE authorizations (id serial PRIMARY KEY, user_id integer, provider varchar, uid varchar, encrypted_token text, encrypted_refresh_token text, expires_at integer)`,
			`INSERT INTO authorizations VALUES (` + quoted(1, 5, "google", "a", sealedValue("attr-encrypted-3", "single_iv_and_salt, CBC"), sealedValue("attr-encrypted-3", "single_iv_and_salt, CBC, marshal"), 1893456000) + `)`,
		},
		want: map[string]string{"1": `{"provider":"google","accessToken":"ya29.attr-single","refreshToken":"ya29.attr-single-marshal","expiresAt":1893456000000,"subject":"5","externalSubject":"a"}`}}
}

// railsClear says that nothing is encrypted, whatever it looks like.
func railsClear() fixture {
	return fixture{store: "rails", name: "plain", given: Params{"table": "tokens", "flavour": "plain", "subject_type": "app"}, variant: "plain, table public.tokens", plain: 1,
		sql: []string{`CREATE TABLE tokens (id serial PRIMARY KEY, provider integer, token text, expires_at integer)`,
			`INSERT INTO tokens VALUES (1, 3, 'x--y', 1893456000)`},
		want: map[string]string{"1": `{"provider":"3","accessToken":"x--y","expiresAt":1893456000000,"subject":{"type":"app"}}`}}
}

// Parameters that a cipher does not know are sentences about parameters.
func TestRails_RefusesUnknownAlgorithm(t *testing.T) {
	for _, flavour := range []string{railsLockbox, railsAttrEncrypted} {
		_, err := rails.Opener(t.Context(), nil, Params{"flavour": flavour, "algorithm": "rot13", "access_token": "token", "table": "t"}, nil)
		var bad *source.ConfigError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), "source.params.algorithm") {
			t.Errorf("%s: got %v, want a *source.ConfigError that names source.params.algorithm", flavour, err)
		}
	}
}
