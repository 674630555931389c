package stores

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

func init() {
	create := []string{
		"CREATE TABLE identity_credential_types (id uuid PRIMARY KEY, name varchar(32) NOT NULL UNIQUE)",
		`INSERT INTO identity_credential_types VALUES ('30000000-0000-4000-8000-000000000001', 'oidc'), ('30000000-0000-4000-8000-000000000002', 'password'),
			('30000000-0000-4000-8000-000000000003', 'webauthn'), ('30000000-0000-4000-8000-000000000004', 'saml')`,
		`CREATE TABLE identity_credentials (id uuid PRIMARY KEY, config jsonb NOT NULL, identity_credential_type_id uuid NOT NULL REFERENCES identity_credential_types, identity_id uuid NOT NULL,
			created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now(), nid uuid, version integer NOT NULL DEFAULT 0)`,
		"CREATE TABLE identity_credential_identifiers (id uuid PRIMARY KEY, identifier varchar(255) NOT NULL, identity_credential_id uuid NOT NULL, nid uuid)",
	}
	const nid = "40000000-0000-4000-8000-000000000001"
	key := func(n int, account string) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d/%s", n, account) }
	insert := func(n, kind int, config string) string {
		return fmt.Sprintf(`INSERT INTO identity_credentials (id, config, identity_credential_type_id, identity_id, nid) VALUES
			('00000000-0000-4000-8000-%012d', %s, '30000000-0000-4000-8000-%012d', '10000000-0000-4000-8000-%012d', '%s')`, n, literal(config), kind, n, nid)
	}
	account := func(provider, subject, access, refresh, more string) string {
		return fmt.Sprintf(`{"subject":"%s","provider":"%s","initial_id_token":"","initial_access_token":"%s","initial_refresh_token":"%s"%s}`, subject, provider, access, refresh, more)
	}
	token := func(n int, provider, subject, tenant, access, refresh string) string {
		if refresh != "" {
			refresh = `"refreshToken":"` + refresh + `",`
		}
		return fmt.Sprintf(`{"provider":"%s","accessToken":"%s",%s"expiresAt":"made up","subject":"10000000-0000-4000-8000-%012d","externalSubject":"%s","tenant":{"id":"%s"}}`, provider, access, refresh, n, subject, tenant)
	}
	noop := func(text string) string { return hex.EncodeToString([]byte(text)) }
	aes, chacha, rotated := sealedValue("kratos", "aes"), sealedValue("kratos", "xchacha20-poly1305"), sealedValue("kratos", "xchacha20-poly1305, rotated")
	other := []string{
		insert(90, 2, `{"hashed_password":"$2a$"}`), insert(91, 3, `{"credentials":[]}`),
		insert(92, 4, `{"providers":[`+account("saml", "s", "", "", "")+`]}`), insert(93, 1, `{"providers":[]}`), insert(94, 1, `{"providers":{"a":1}}`), insert(95, 1, `{"providers":["text", null]}`),
	}
	left := map[string]string{
		key(90, ""): "password_login", key(91, ""): "not_oauth", key(92, "saml:s"): "not_oauth", key(93, ""): "no_token", key(94, ""): "no_token",
		key(95, ""): "no_token", key(95, "#2"): "no_token",
	}
	with := func(want map[string]string) map[string]string {
		for k, v := range left {
			want[k] = v
		}
		return want
	}
	fixtures = append(fixtures, fixture{
		store: "ory-kratos", name: "encrypted", variant: "table public.identity_credentials", decrypted: 5, plain: 1,
		keys:  Keys{"secrets": secret("Yt6Rk1Zp8Wm3Xc9Vb4Nq7Js2Hd5Gf0La,Op2As7Df4Gh9Jk1Lz6Xc3Vb8Nm5Qw0Er")},
		wrong: Keys{"secrets": secret("0123456789abcdef0123456789abcdef")},
		sql: slices.Concat(create, other, []string{
			insert(1, 1, `{"providers":[`+account("google", "g-1", aes, chacha, "")+`,`+account("github", "h-1", rotated, "", `,"organization":"org-1"`)+`]}`),
			insert(2, 1, `{"providers":[`+account("google", "g-2", aes[:80], "", "")+`,`+account("google", "g-3", "ya29.not-hex", "", "")+`,`+account("google", "g-4", "", aes, "")+`]}`),
			insert(3, 1, `{"providers":[`+account("google", "g-5", aes, noop("1//r-from-before"), "")+`,`+account("google", "g-5", chacha, "", "")+`]}`),
		}),
		want: with(map[string]string{
			key(1, "google:g-1"):   token(1, "google", "g-1", nid, "ya29.a0Kratos-é✓", "ya29.a0Kratos3-日本"),
			key(1, "github:h-1"):   token(1, "github", "h-1", "org-1", "ya29.a0Kratos4", ""),
			key(2, "google:g-2"):   "decrypt_failed",
			key(2, "google:g-3"):   "decrypt_failed",
			key(2, "google:g-4"):   "no_token",
			key(3, "google:g-5"):   token(3, "google", "g-5", nid, "ya29.a0Kratos-é✓", "1//r-from-before"),
			key(3, "google:g-5#2"): token(3, "google", "g-5", nid, "ya29.a0Kratos3-日本", ""),
		}),
	}, fixture{
		store: "ory-kratos", name: "noop", variant: "table public.identity_credentials", plain: 3,
		sql: slices.Concat(create, other, []string{
			insert(1, 1, `{"providers":[`+account("google", "ü/1", noop("ya29.ä✓"), noop("1//r"), "")+`]}`),
			`INSERT INTO identity_credentials SELECT '00000000-0000-4000-8000-000000000002', jsonb_build_object('providers', jsonb_build_array(jsonb_build_object('subject', 's', 'provider', 'google',
				'initial_access_token', encode(convert_to(repeat('x', 65536), 'UTF8'), 'hex')))), '30000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000002', now(), now(), NULL, 0`,
		}),
		want: with(map[string]string{
			key(1, "google:ü%2F1"): token(1, "google", "ü/1", nid, "ya29.ä✓", "1//r"),
			key(2, "google:s"):     `{"provider":"google","accessToken":"` + strings.Repeat("x", 65536) + `","expiresAt":"made up","subject":"10000000-0000-4000-8000-000000000002","externalSubject":"s"}`,
		}),
	})
}
