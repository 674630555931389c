package stores

import (
	"encoding/base64"
	"fmt"
	"slices"
)

func init() {
	const create = `CREATE TABLE user_auth (id bigserial PRIMARY KEY, user_id bigint NOT NULL, auth_module varchar(190) NOT NULL, auth_id varchar(190) NOT NULL, created timestamp NOT NULL,
		o_auth_access_token text, o_auth_refresh_token text, o_auth_token_type text, o_auth_expiry timestamp, o_auth_id_token text, external_uid text, user_unique_id varchar(190))`
	insert := func(id, user int, module, created string, access, refresh, expiry any) string {
		return "INSERT INTO user_auth (id, user_id, auth_module, auth_id, created, o_auth_access_token, o_auth_refresh_token, o_auth_expiry) VALUES (" +
			quoted(id, user, module, fmt.Sprintf("ext-%d", id), created, access, refresh, expiry) + ")"
	}
	token := func(id, user int, module, access, more string) string {
		return fmt.Sprintf(`{"provider":"%s","accessToken":"%s",%s,"subject":"%d","externalSubject":"ext-%d"}`, module, access, more, user, id)
	}
	const day, until, zero = "2026-01-01 00:00:00", "2030-01-01 00:00:00", "0001-01-01 00:00:00"
	keys, wrong := Keys{"secret_key": secret("pW6rJ1xQ8vT3")}, Keys{"secret_key": secret("another-secret-key")}
	dataKeys := func(id string) []string {
		return []string{
			"CREATE TABLE data_keys (" + id + " varchar(100) PRIMARY KEY, active boolean NOT NULL, scope varchar(30) NOT NULL, provider varchar(50) NOT NULL, encrypted_data bytea NOT NULL, created timestamp NOT NULL, updated timestamp NOT NULL, label varchar(100) NOT NULL DEFAULT '')",
			`INSERT INTO data_keys VALUES
				('ddk3kq1v9a8xsd', true, 'root', 'secretKey.v1', '\x2a5957567a4c574e6d59672a94db8eb7572b9c96a5a910fbed50d74c9f4f655af9df132b62e328a25d7b4ce2a5e3146e89a07177', now(), now()),
				('b7b4d8c2-öü', false, 'root', 'secretKey.v1', '\x2a5957567a4c57646a62512a5d590a0bb68306df479186691e94c87b1470f105841b0481ff9039c938819297d8d0d78db622bc5215a15321f87d4b77a366ce36', now(), now()),
				('managed-1', true, 'root', 'awskms.v1', '\x00', now(), now())`,
		}
	}
	managed := base64.StdEncoding.EncodeToString([]byte("#" + base64.RawStdEncoding.EncodeToString([]byte("managed-1")) + "#*YWVzLWNmYg*saltsalt0123456789abcdefsealed"))
	cfb, gcm, wrapped, legacy := sealedValue("grafana", "envelope, CFB"), sealedValue("grafana", "envelope, GCM"),
		sealedValue("grafana", "envelope, CFB, data key wrapped with GCM"), sealedValue("grafana", "legacy, GCM")
	fixtures = append(fixtures, fixture{
		store: "grafana", name: "data keys", variant: "with data keys, table public.user_auth", keys: keys, wrong: wrong, decrypted: 6,
		sql: slices.Concat([]string{create}, dataKeys("name"), []string{
			insert(1, 1, "oauth_google", day, cfb, gcm, until),
			insert(2, 1, "oauth_google", "2025-01-01 00:00:00", cfb, "", until),
			insert(3, 1, "oauth_github", day, wrapped, "", zero),
			insert(4, 2, "oauth_azuread", day, legacy, nil, until),
			insert(5, 2, "ldap", day, nil, nil, nil),
			insert(6, 2, "auth.saml", day, "", "", zero),
			insert(7, 2, "oauth_okta", day, "", "", until),
			insert(8, 2, "oauth_gitlab", day, managed, managed, until),
			insert(9, 3, "oauth_google", day, cfb[:20], "", until),
			insert(10, 3, "oauth_okta", day, legacy, "", zero),
			insert(11, 3, "oauth_generic_oauth", day, sealedValue("grafana", "64 KiB"), "", "9999-12-31 00:00:00"),
			insert(12, 4, "oauth_google", day, "a plain one", "", until),
			insert(13, 4, "oauth_okta", day, sealedValue("grafana", "envelope, the secret_key that Grafana comes with"), "", until),
		}),
		want: map[string]string{
			"1": token(1, 1, "oauth_google", "ya29.a0Grafana-é✓-0001", `"refreshToken":"ya29.a0Grafana-0002","expiresAt":1893456000000`),
			"2": "older_copy",
			"3": token(3, 1, "oauth_github", "ya29.a0Grafana-0004", `"expiresAt":"made up"`),
			"4": token(4, 2, "oauth_azuread", "ya29.a0Grafana-0010", `"expiresAt":1893456000000`),
			"5": "not_oauth", "6": "not_oauth", "7": "no_token", "8": "not_offline", "9": "decrypt_failed", "10": "missing_expiry",
			"11": "missing_expiry", "12": "decrypt_failed",
			"13": "decrypt_failed", // its data key is not in the table
		},
	}, fixture{
		store: "grafana", name: "before 9", variant: "before 9.0, table public.user_auth", keys: keys, wrong: wrong, decrypted: 2,
		sql: []string{create,
			insert(1, 1, "oauth_google", day, sealedValue("grafana", "legacy, no algorithm"), "", until),
			insert(2, 1, "oauth_github", day, sealedValue("grafana", "legacy, CFB"), "", nil)},
		want: map[string]string{
			"1": token(1, 1, "oauth_google", "ya29.a0Grafana-0007", `"expiresAt":1893456000000`),
			"2": token(2, 1, "oauth_github", "ya29.a0Grafana-0009", `"expiresAt":"made up"`),
		},
	}, fixture{
		store: "grafana", name: "data keys by id", variant: "with data keys", keys: keys, wrong: wrong, decrypted: 1,
		sql:  slices.Concat([]string{create}, dataKeys("id"), []string{insert(1, 1, "oauth_google", day, cfb, "", until)}),
		want: map[string]string{"1": token(1, 1, "oauth_google", "ya29.a0Grafana-é✓-0001", `"expiresAt":1893456000000`)},
	})
}
