package stores

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

func init() {
	var sealed map[string]string
	b, err := os.ReadFile(filepath.Join("testdata", "openwebui.json"))
	if err == nil {
		err = json.Unmarshal(b, &sealed)
	}
	if err != nil {
		panic(err)
	}
	const create = `CREATE TABLE oauth_session (id text PRIMARY KEY, user_id text NOT NULL, provider text NOT NULL, token text NOT NULL, expires_at bigint NOT NULL, created_at bigint NOT NULL, updated_at bigint NOT NULL)`
	f := fixture{
		store: "open-webui", name: "sessions", variant: "table public.oauth_session", decrypted: 6, plain: 3, sql: []string{create},
		keys: Keys{"encryption_key": secret("t0p-s3cr3t ü, an older s3cret")}, wrong: Keys{"encryption_key": secret("another secret")},
		want: map[string]string{
			"s1": `{"provider":"google","accessToken":"ya29.ä✓","refreshToken":"1//r","expiresAt":1893456000000,"subject":"u1","externalSubject":"1084","scopes":["openid","email"]}`,
			"s2": "older_copy",
			"s3": `{"provider":"microsoft","accessToken":"eyJ.former","expiresAt":1893456000000,"subject":"u1"}`,
			"s4": `{"provider":"mcp:tools","accessToken":"mcp-token","expiresAt":"made up","subject":"u1"}`,
			"s5": "no_token", "s6": "decrypt_failed", "s7": "decrypt_failed",
			"s8": `{"provider":"oidc","accessToken":"` + strings.Repeat("ya29.0123456789-", 256) + `","expiresAt":"made up","subject":"u2"}`,
			"s9": "no_token",
			"t1": `{"provider":"google","accessToken":"plain","expiresAt":1893456000000,"subject":"u3"}`,
			"t2": "decrypt_failed",
			"t3": `{"provider":"github","accessToken":"gho_x","expiresAt":"made up","subject":"u4"}`,
			"t4": `{"provider":"google","accessToken":"lived","expiresAt":1893456000000,"subject":"u4"}`,
		},
	}
	insert := func(id, user, provider, token, expires, created string) {
		f.sql = append(f.sql, "INSERT INTO oauth_session VALUES ("+quoted(id, user, provider, token, raw(expires), raw(created), raw(created))+")")
	}
	insert("s1", "u1", "google", sealed["full"], "1", "1700000002")
	insert("s2", "u1", "google", sealed["direct"], "1", "1700000001")
	insert("s3", "u1", "microsoft", sealed["former key"], "1893000000", "1700000001")
	insert("s4", "u1", "mcp:tools", sealed["no expiry"], "1893459600", "1700000001")
	insert("s5", "u2", "google", sealed["no token"], "1893459600", "1700000001")
	insert("s6", "u2", "github", sealed["not an object"], "1893459600", "1700000001")
	insert("s7", "u2", "feishu", sealed["full"][:200], "1893459600", "1700000001")
	insert("s8", "u2", "oidc", sealed["long"], "0", "1700000001")
	insert("s9", "u2", "mcp:empty", "", "0", "1700000001")
	insert("t1", "u3", "google", `{"access_token":"plain","expires_at":1893456000}`, "0", "1700000001")
	// No lifetime: the column is an hour after the sign-in, long ago.
	insert("t3", "u4", "github", `{"access_token":"gho_x","token_type":"bearer"}`, "1700003601", "1700000001")
	insert("t4", "u4", "google", `{"access_token":"lived","expires_in":3599}`, "1893456000", "1700000001")
	insert("t2", "u3", "github", sealed["direct"], "0", "1700000001")
	f.decrypted = 6 // s1, s3, s4, s5, s6, s8

	fixtures = append(fixtures, f, fixture{
		store: "open-webui", name: "key of 44 characters", variant: "table public.oauth_session", decrypted: 1,
		keys: Keys{"encryption_key": secret("HyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4=")}, wrong: Keys{"encryption_key": secret("t0p-s3cr3t ü")},
		sql:  []string{create, "INSERT INTO oauth_session VALUES (" + quoted("s1", "u1", "google", sealed["direct"], 0, 1, 1) + ")"},
		want: map[string]string{"s1": `{"provider":"google","accessToken":"ya29.direct","expiresAt":1893456000000,"subject":"u1"}`},
	})
}
