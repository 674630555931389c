package stores

import (
	"fmt"
	"testing"
)

const twentyWorkspaceID = "20202020-1c25-4d02-bf25-6aeccf7ea419"

func twentyID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func init() {
	key := sealedValue("twenty", "key")
	const refreshed = "2026-11-24 10:00:00.25+00"
	insert := func(n int, provider string, access, refresh, at any, more string, values ...any) string {
		return fmt.Sprintf(`INSERT INTO core."connectedAccount" (id, "workspaceId", handle, provider, "accessToken", "refreshToken", "lastCredentialsRefreshedAt", "createdAt", scopes, "userWorkspaceId"%s) VALUES (%s)`,
			more, quoted(append([]any{twentyID(n), twentyWorkspaceID, fmt.Sprintf("ä%d@example.com", n), provider, access, refresh, at, "2026-01-01 00:00:00+00", "{openid,mail.read}", twentyID(100 + n%2)}, values...)...))
	}
	account := func(n int, subject, rest string) string {
		return fmt.Sprintf(`{"subject":"%s","tenant":{"id":"%s"},"name":"ä%d@example.com","externalSubject":"ä%[3]d@example.com","scopes":["openid","mail.read"],%s}`, subject, twentyWorkspaceID, n, rest)
	}
	user := twentyID(901)
	f := fixture{
		store: "twenty", name: "newer", variant: `one table of all workspaces, core."connectedAccount"`,
		keys:  Keys{"encryption_key": secret("hV3sK8dR1mX6wP0zQ5nB2cT7yL4jG9fA"), "fallback_encryption_key": secret("Schlüssel-nR7kW2xM5vZ0qD8tB3")},
		wrong: Keys{"encryption_key": secret("aV3sK8dR1mX6wP0zQ5nB2cT7yL4jG9fA")},
		sql: []string{
			`CREATE SCHEMA core`, `CREATE TYPE core.visibility AS ENUM ('user', 'workspace')`,
			`CREATE TABLE core."userWorkspace" (id uuid PRIMARY KEY, "userId" uuid NOT NULL, "workspaceId" uuid NOT NULL)`,
			`INSERT INTO core."userWorkspace" VALUES ('` + twentyID(101) + `', '` + user + `', '` + twentyWorkspaceID + `')`,
			`CREATE TABLE core."connectedAccount" (id uuid PRIMARY KEY, "workspaceId" uuid NOT NULL, handle varchar, provider varchar NOT NULL, "accessToken" varchar, "refreshToken" varchar,
				"lastCredentialsRefreshedAt" timestamptz, "authFailedAt" timestamptz, scopes varchar[], "handleAliases" varchar[], "connectionParameters" jsonb, "oidcTokenClaims" jsonb,
				"userWorkspaceId" uuid, "applicationOAuthProviderId" uuid, "applicationId" uuid, name varchar, visibility core.visibility DEFAULT 'user',
				"createdAt" timestamptz NOT NULL, "updatedAt" timestamptz NOT NULL DEFAULT now())`,
			insert(1, "google", key, sealedValue("twenty", "fallback key"), refreshed, ""),
			insert(2, "microsoft", "plain-ä✓", "", nil, ""),
			insert(3, "app", sealedValue("twenty", "64 KiB"), nil, refreshed, ""),
			insert(4, "imap_smtp_caldav", nil, nil, nil, ""),
			insert(5, "google", key, nil, refreshed, `, "authFailedAt"`, refreshed),
			insert(6, "google", "", "r", refreshed, ""),
			insert(7, "google", "enc:v3:x", nil, refreshed, ""),
			insert(8, "google", key[:len(key)-8]+"AAAAAAA=", nil, refreshed, ""),
			insert(9, "google", sealedValue("twenty", "the instance, not a workspace"), nil, refreshed, ""),
			insert(11, "google", "a", nil, "infinity", ""),
			insert(13, "google", "a", nil, "294276-12-31 23:59:59+00", ""),
			insert(15, "oidc", "a", nil, nil, ""),
		},
		want: map[string]string{
			twentyID(1): account(1, user, `"provider":"google","accessToken":"ya29.a0Twenty-é✓","refreshToken":"ya29.a0Twenty2","expiresAt":1795518000250`),
			twentyID(2): account(2, twentyID(100), `"provider":"microsoft","accessToken":"plain-ä✓","expiresAt":1767229200000`),
			twentyID(3): account(3, user, `"provider":"app","accessToken":"`+longToken+`","expiresAt":1795518000250`),
			twentyID(4): "not_oauth", twentyID(5): "disconnected", twentyID(6): "no_token", twentyID(7): "decrypt_failed", twentyID(8): "decrypt_failed", twentyID(9): "decrypt_failed",
			twentyID(11): account(11, user, `"provider":"google","accessToken":"a","expiresAt":"made up"`),
			twentyID(13): account(13, user, `"provider":"google","accessToken":"a","expiresAt":"made up"`),
			twentyID(15): "not_oauth",
		},
		plain: 3, decrypted: 3,
	}
	one := twentyOld("one workspace", "older, one workspace", twentyWorkspaceSchema)
	two := twentyOld("two workspaces", "older, a table in each of 2 workspaces", twentyWorkspaceSchema, "workspace_other")
	fixtures = append(fixtures, f, one, two)
}

// twentyWorkspaceSchema is what Twenty calls the schema of its first demo
// workspace, twentyWorkspaceID.
const twentyWorkspaceSchema = "workspace_1wgvd1injqtife6y4rvfbu3h5"

// twentyOld has a table in each of these schemas, with the same ids, as a copied
// workspace has.
func twentyOld(name, variant string, schemas ...string) fixture {
	f := fixture{store: "twenty", name: name, variant: variant, want: map[string]string{}, plain: 3 * len(schemas)}
	for _, schema := range schemas {
		tenant, key := schema, func(n int) string { return twentyID(n) }
		if schema == twentyWorkspaceSchema {
			tenant = twentyWorkspaceID
		} else {
			tenant = twentyWorkspace(schema)
		}
		if len(schemas) > 1 {
			key = func(n int) string { return schema + "/" + twentyID(n) }
		}
		f.sql = append(f.sql, "CREATE SCHEMA "+schema, fmt.Sprintf(`SET search_path = %s;
			CREATE TABLE "workspaceMember" (id uuid PRIMARY KEY, "userId" uuid NOT NULL);
			CREATE TYPE provider AS ENUM ('google', 'microsoft', 'imap_smtp_caldav');
			CREATE TABLE "connectedAccount" (id uuid PRIMARY KEY, handle text, provider provider, "accessToken" text, "refreshToken" text, "handleAliases" text, "authFailedAt" timestamptz,
				"accountOwnerId" uuid NOT NULL, "createdAt" timestamptz NOT NULL, "deletedAt" timestamptz);
			INSERT INTO "workspaceMember" VALUES ('%s', '%s');
			INSERT INTO "connectedAccount" VALUES
				('%s', 'a', 'google', 't', 'r', '', NULL, '%[2]s', '2026-11-24 10:00:00+00', NULL),
				('%[5]s', 'b', 'microsoft', 't', NULL, '', NULL, '%[6]s', '2026-11-24 10:00:00+00', NULL),
				('%[7]s', 'c', 'microsoft', 't', NULL, '', NULL, '%[2]s', '2026-11-24 10:00:00+00', now()),
				('%[8]s', 'd', 'imap_smtp_caldav', NULL, NULL, '', NULL, '%[2]s', '2026-11-24 10:00:00+00', NULL)`,
			schema, twentyID(51), twentyID(901), twentyID(1), twentyID(2), twentyID(52), twentyID(3), twentyID(4)))
		f.want[key(1)] = fmt.Sprintf(`{"provider":"google","accessToken":"t","refreshToken":"r","expiresAt":1795518000000,"subject":"%s","tenant":{"id":"%s"},"name":"a","externalSubject":"a"}`, twentyID(901), tenant)
		f.want[key(2)] = fmt.Sprintf(`{"provider":"microsoft","accessToken":"t","expiresAt":1795518000000,"subject":"%s","tenant":{"id":"%s"},"name":"b","externalSubject":"b"}`, twentyID(52), tenant)
		f.want[key(3)], f.want[key(4)] = "deleted", "not_oauth"
	}
	return f
}

func TestTwenty_ReadsAWorkspaceOutOfItsSchemasName(t *testing.T) {
	for schema, want := range map[string]string{
		twentyWorkspaceSchema: twentyWorkspaceID,
		"workspace_1":         "00000000-0000-0000-0000-000000000001",
		"workspace_-1":        "workspace_-1",
		"workspace_" + "zzzzzzzzzzzzzzzzzzzzzzzzzz": "workspace_zzzzzzzzzzzzzzzzzzzzzzzzzz",
		"public": "public",
	} {
		if got := twentyWorkspace(schema); got != want {
			t.Errorf("%s: got %s, want %s", schema, got, want)
		}
	}
}
