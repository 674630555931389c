package stores

import "strings"

func init() {
	fixtures = append(fixtures,
		fixture{store: "chatwoot-email", name: "inboxes", variant: "table public.channel_email",
			sql: []string{
				`CREATE TABLE channel_email (id bigserial PRIMARY KEY, account_id integer NOT NULL, email varchar NOT NULL UNIQUE, forward_to_email varchar, imap_password varchar DEFAULT '', provider varchar,
					provider_config jsonb DEFAULT '{}', created_at timestamp(6) DEFAULT now(), updated_at timestamp(6) DEFAULT now())`,
				`INSERT INTO channel_email (id, account_id, email, provider, provider_config) VALUES (` + strings.Join([]string{
					quoted(1, 9, "a@example.com", "google", `{"access_token":"ya29","refresh_token":"1//r","expires_on":"2030-01-01 00:00:00 UTC"}`),
					quoted(2, 9, "b@example.com", "microsoft", `{"access_token":"EwB","expires_on":""}`),
					quoted(3, 9, "c@example.com", nil, `{}`), quoted(4, 9, "d@example.com", "google", nil), quoted(5, 9, "e@example.com", "google", `{"access_token":""}`),
				}, "), (") + ")",
			},
			want: map[string]string{
				"1": `{"provider":"google","accessToken":"ya29","refreshToken":"1//r","expiresAt":1893456000000,"subject":"a@example.com","externalSubject":"a@example.com","tenant":{"id":"9"}}`,
				"2": `{"provider":"microsoft","accessToken":"EwB","expiresAt":"made up","subject":"b@example.com","externalSubject":"b@example.com","tenant":{"id":"9"}}`,
				"3": "not_oauth", "4": "no_token", "5": "no_token",
			}},
		chatwootHooksFixture())
}

func chatwootHooksFixture() fixture {
	return fixture{store: "chatwoot-hooks", name: "hooks", variant: "table public.integrations_hooks", keys: railsKeys, wrong: railsWrong, plain: 2, decrypted: 1,
		sql: []string{
			`CREATE TABLE integrations_hooks (id bigserial PRIMARY KEY, status integer DEFAULT 1, inbox_id integer, account_id integer, app_id varchar, hook_type integer DEFAULT 0, reference_id varchar,
				access_token varchar, created_at timestamp(6) DEFAULT now(), updated_at timestamp(6) DEFAULT now(), settings jsonb DEFAULT '{}')`,
			`INSERT INTO integrations_hooks (id, status, account_id, app_id, access_token, settings) VALUES (` + strings.Join([]string{
				quoted(1, 1, 9, "slack", sealedValue("rails", "deterministic, sha256"), `{}`),
				quoted(2, 1, 9, "linear", "lin_1", `{"expires_on":"2030-01-01 00:00:00 UTC","scope":"read,write","refresh_token":"r"}`),
				quoted(3, 1, 9, "dialogflow", "made-by-chatwoot", nil), quoted(4, 0, 9, "slack", "xoxb", `{}`), quoted(5, nil, 9, "notion", "", `[]`), quoted(6, 1, 9, nil, "x", nil),
				quoted(7, 1, 9, "notion", sealedValue("rails", "deterministic, sha256")[:40], nil),
			}, "), (") + ")",
		},
		want: map[string]string{
			"1": `{"provider":"slack","accessToken":"1//0g-dét-sha256","expiresAt":"made up","subject":{"type":"app"},"tenant":{"id":"9"}}`,
			"2": `{"provider":"linear","accessToken":"lin_1","refreshToken":"r","expiresAt":1893456000000,"subject":{"type":"app"},"tenant":{"id":"9"},"scopes":["read","write"]}`,
			"3": "not_oauth", "4": "disabled", "5": "no_token", "6": "not_oauth", "7": "decrypt_failed",
		}}
}
