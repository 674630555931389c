package stores

import "fmt"

const activepiecesSchema = `CREATE TABLE app_connection (id varchar(21) PRIMARY KEY, created timestamptz NOT NULL DEFAULT now(), updated timestamptz NOT NULL DEFAULT now(),
	"displayName" varchar NOT NULL, "externalId" varchar NOT NULL, type varchar NOT NULL, status varchar NOT NULL DEFAULT 'ACTIVE', "platformId" varchar(21) NOT NULL,
	"pieceName" varchar NOT NULL, "pieceVersion" varchar, "ownerId" varchar, "projectIds" varchar[] NOT NULL, scope varchar NOT NULL, value jsonb NOT NULL, metadata jsonb);
	CREATE TABLE project (id varchar(21) PRIMARY KEY, "displayName" varchar, "ownerId" varchar, "platformId" varchar(21));
	INSERT INTO project VALUES ('prj-1', 'Büro', 'user-p', 'plt-1')`

// activepiecesInsert writes a connection of user-1 in project prj-1.
func activepiecesInsert(n int, kind, value string) string {
	return fmt.Sprintf(`INSERT INTO app_connection (id, updated, "displayName", "externalId", type, "platformId", "pieceName", "ownerId", "projectIds", scope, value) VALUES (%s)`,
		quoted(fmt.Sprintf("c%02d", n), "2026-11-24 10:00:00+00", "Büro", "ext", kind, "plt-1", "@activepieces/piece-gmail", "user-1", "{prj-1,prj-2}", "PROJECT", value))
}

func init() {
	keys, wrong := Keys{"encryption_key": secret("7d4e1f0a9b8c6d5e4f3a2b1c0d9e8f7a")}, Keys{"encryption_key": secret("0d4e1f0a9b8c6d5e4f3a2b1c0d9e8f7b")}
	token := func(rest string) string {
		return `{"provider":"@activepieces/piece-gmail","subject":"user-1","tenant":{"id":"prj-1"},"name":"Büro",` + rest + `}`
	}
	const changed = 1795514400
	sealed := sealedValue("activepieces", "GCM")
	f := fixture{
		store: "activepieces", name: "newer", variant: "newer schema, table public.app_connection", keys: keys, wrong: wrong,
		sql: []string{
			activepiecesSchema,
			activepiecesInsert(1, "OAUTH2", sealed),
			activepiecesInsert(2, "PLATFORM_OAUTH2", sealedValue("activepieces", "CBC")),
			activepiecesInsert(3, "CLOUD_OAUTH2", sealed),
			activepiecesInsert(4, "OAUTH2", `{"type":"OAUTH2","access_token":"xoxb","refresh_token":"","claimed_at":1771000000,"scope":"chat:write,users:read","data":{}}`),
			activepiecesInsert(5, "OAUTH2", `{"type":"OAUTH2","access_token":"a","refresh_token":"r","claimed_at":1771000000}`),
			activepiecesInsert(6, "OAUTH2", `{"type":"OAUTH2","access_token":"a","refresh_token":"r","expires_in":"7200","claimed_at":0}`),
			activepiecesInsert(7, "OAUTH2", `{"type":"OAUTH2","access_token":"a","expires_in":7200,"claimed_at":1893448800,"grant_type":"client_credentials"}`),
			activepiecesInsert(8, "OAUTH2", `{"type":"OAUTH2","access_token":"","refresh_token":"r"}`),
			activepiecesInsert(9, "CUSTOM_AUTH", `{"type":"CUSTOM_AUTH","props":{"access_token":"custom","token_expires_at":1893456000}}`),
			activepiecesInsert(10, "CUSTOM_AUTH", `{"type":"CUSTOM_AUTH","access_token":"custom","token_expires_at":1893456000}`),
			activepiecesInsert(11, "CUSTOM_AUTH", `{"type":"CUSTOM_AUTH","props":{"api_key":"k"}}`),
			activepiecesInsert(12, "SECRET_TEXT", sealed),
			activepiecesInsert(13, "NO_AUTH", `null`),
			activepiecesInsert(14, "OAUTH2", sealed), `UPDATE app_connection SET status = 'ERROR' WHERE id = 'c14'`,
			activepiecesInsert(15, "OAUTH2", `{}`), `UPDATE app_connection SET status = 'MISSING' WHERE id = 'c15'`,
			activepiecesInsert(16, "OAUTH2", `{"iv":"f4ae5698b496a8dbddf4807e","data":"ddd2","authTag":"22589e0be101dea44c9023e3a7ad8ac6"}`),
			activepiecesInsert(17, "OAUTH2", `{"iv":"f4","data":"zz"}`),
			activepiecesInsert(18, "OAUTH2", sealedValue("activepieces", "CBC, 64 KiB")),
			activepiecesInsert(19, "OAUTH2", sealed), `UPDATE app_connection SET "ownerId" = NULL WHERE id = 'c19'`,
			activepiecesInsert(20, "OAUTH2", sealed), `UPDATE app_connection SET "ownerId" = NULL, "projectIds" = '{}', scope = 'PLATFORM' WHERE id = 'c20'`,
			activepiecesInsert(21, "OAUTH2", `[]`),
		},
		want: map[string]string{
			"c01": token(`"accessToken":"ya29.a0Ap1","refreshToken":"1//ap-réfresh ✓","expiresAt":1771003599000,"scopes":["openid"]`),
			"c02": token(`"accessToken":"ya29.a0Ap2","refreshToken":"1//ap-réfresh ✓","expiresAt":1771003599000,"scopes":["openid"]`),
			"c03": "foreign_client",
			"c04": token(`"accessToken":"xoxb","expiresAt":"made up","scopes":["chat:write","users:read"]`),
			"c05": token(`"accessToken":"a","refreshToken":"r","expiresAt":1771003600000`),
			"c06": token(fmt.Sprintf(`"accessToken":"a","refreshToken":"r","expiresAt":%d`, (changed+7200)*1000)),
			"c07": `{"provider":"@activepieces/piece-gmail","subject":{"type":"app"},"installationId":"c07","tenant":{"id":"prj-1"},"name":"Büro","accessToken":"a","expiresAt":1893456000000}`,
			"c08": "no_token",
			"c09": token(`"accessToken":"custom","expiresAt":1893456000000`),
			"c10": token(`"accessToken":"custom","expiresAt":1893456000000`),
			"c11": "not_oauth", "c12": "not_oauth", "c13": "not_oauth", "c14": "disconnected", "c15": "never_connected", "c16": "decrypt_failed", "c17": "decrypt_failed",
			"c18": token(`"accessToken":"` + longToken + `","refreshToken":"1//ap-réfresh ✓","expiresAt":1771003599000,"scopes":["openid"]`),
			"c19": `{"provider":"@activepieces/piece-gmail","subject":"user-p","tenant":{"id":"prj-1"},"name":"Büro","accessToken":"ya29.a0Ap1","refreshToken":"1//ap-réfresh ✓","expiresAt":1771003599000,"scopes":["openid"]}`,
			"c20": "missing_subject", "c21": "decrypt_failed",
		},
		plain: 9, decrypted: 5,
	}
	cloud := fixture{
		store: "activepieces", name: "cloud taken", variant: "newer schema", keys: keys, wrong: wrong, given: Params{"cloud": "take"}, decrypted: 1,
		sql:  []string{activepiecesSchema, activepiecesInsert(3, "CLOUD_OAUTH2", sealed)},
		want: map[string]string{"c03": token(`"accessToken":"ya29.a0Ap1","expiresAt":1771003599000,"scopes":["openid"]`)},
	}
	old := fixture{
		store: "activepieces", name: "older", variant: "older schema, one project a connection", keys: keys, wrong: wrong, decrypted: 1,
		sql: []string{
			`CREATE TABLE app_connection (id varchar(21) PRIMARY KEY, created timestamptz NOT NULL DEFAULT now(), updated timestamptz NOT NULL DEFAULT now(),
				name varchar NOT NULL, type varchar NOT NULL, "pieceName" varchar NOT NULL, "projectId" varchar(21) NOT NULL, value jsonb NOT NULL)`,
			`CREATE TABLE project (id varchar(21) PRIMARY KEY, "displayName" varchar, "ownerId" varchar)`,
			`INSERT INTO project VALUES ('prj-1', 'Büro', 'user-p')`,
			`INSERT INTO app_connection (id, name, type, "pieceName", "projectId", value) VALUES (` + quoted("c01", "Mail", "OAUTH2", "gmail", "prj-1", sealedValue("activepieces", "CBC")) + `)`,
		},
		want: map[string]string{"c01": `{"provider":"gmail","subject":"user-p","tenant":{"id":"prj-1"},"name":"Mail","accessToken":"ya29.a0Ap2","refreshToken":"1//ap-réfresh ✓","expiresAt":1771003599000,"scopes":["openid"]}`},
	}
	fixtures = append(fixtures, f, cloud, old)
}
