package stores

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

const n8nKey = "mT4vYq8Zr2Lx6Nc0Wb5Jd9Hs3Kf7Pg1A"

// n8nValues are sealed credentials by their names in testdata/make-n8n.mjs.
var n8nValues = func() map[string]string {
	b, err := os.ReadFile("testdata/n8n.json")
	if err != nil {
		panic(err)
	}
	var doc struct{ Cases []struct{ Name, Data string } }
	if err := json.Unmarshal(b, &doc); err != nil {
		panic(err)
	}
	values := map[string]string{}
	for _, c := range doc.Cases {
		values[c.Name] = c.Data
	}
	return values
}()

// n8nCredentials makes the table of credentials with such a prefix and id.
func n8nCredentials(prefix, id string) string {
	return fmt.Sprintf(`CREATE TABLE %scredentials_entity (name varchar(128) NOT NULL, data text NOT NULL, type varchar(128) NOT NULL,
		"createdAt" timestamptz(3) NOT NULL DEFAULT now(), "updatedAt" timestamptz(3) NOT NULL DEFAULT now(), id %s PRIMARY KEY, "isManaged" boolean NOT NULL DEFAULT false)`, prefix, id)
}

func n8nInsert(prefix string, id any, kind, name, data string) string {
	return fmt.Sprintf(`INSERT INTO %scredentials_entity (id, type, name, data, "updatedAt") VALUES (%s)`, prefix, quoted(id, kind, name, data, "2026-11-24 10:00:00.5+00"))
}

// n8nOwners are projects: of a user, of a team, and of nobody any more.
func n8nOwners(prefix string) []string {
	return []string{
		fmt.Sprintf(`CREATE TABLE %sproject (id varchar(36) PRIMARY KEY, name varchar(255), type varchar(36))`, prefix),
		fmt.Sprintf(`CREATE TABLE %sproject_relation ("projectId" varchar(36), "userId" uuid, role varchar, PRIMARY KEY ("projectId", "userId"))`, prefix),
		fmt.Sprintf(`CREATE TABLE %sshared_credentials ("credentialsId" varchar(36), "projectId" varchar(36), role text NOT NULL, PRIMARY KEY ("credentialsId", "projectId"))`, prefix),
		fmt.Sprintf(`INSERT INTO %sproject VALUES ('pers', 'Ä <a@example.com>', 'personal'), ('team', 'Team', 'team'), ('lost', '', 'personal')`, prefix),
		fmt.Sprintf(`INSERT INTO %sproject_relation VALUES ('pers', '00000000-0000-4000-8000-000000000001', 'project:personalOwner'),
			('team', '00000000-0000-4000-8000-000000000001', 'project:admin')`, prefix),
	}
}

func n8nShare(prefix, credential, project, role string) string {
	return fmt.Sprintf(`INSERT INTO %sshared_credentials VALUES ('%s', '%s', 'credential:%s')`, prefix, credential, project, role)
}

func init() {
	keys, wrong := Keys{"encryption_key": secret(n8nKey)}, Keys{"encryption_key": secret("Lq2Wm7Xs4Ez9Rb1Tn6Yv3Uc8Io5Pk0Ad")}
	const user, changed = "00000000-0000-4000-8000-000000000001", 1795514400000 // the tokens' lifetime counts in whole seconds
	full := fmt.Sprintf(`"provider":"gmailOAuth2","name":"Post ✓","accessToken":"ya29.n8n","refreshToken":"1//réfresh-✓","expiresAt":1893456000000,"scopes":["openid","https://mail.google.com/"]`)
	later := fmt.Sprintf(`"accessToken":"at","refreshToken":"rt","expiresAt":%d`, changed+3600_000)

	for _, prefix := range []string{"", "n8n_"} {
		f := fixture{store: "n8n", name: "projects " + prefix, variant: "credentials by project, table public." + prefix + "credentials_entity",
			keys: keys, wrong: wrong, decrypted: 13, plain: 1}
		f.sql = append([]string{n8nCredentials(prefix, "varchar(36)")}, n8nOwners(prefix)...)
		add := func(id, kind, name, data, project string) {
			f.sql = append(f.sql, n8nInsert(prefix, id, kind, name, data))
			if project != "" {
				f.sql = append(f.sql, n8nShare(prefix, id, project, "owner"))
			}
		}
		add("c01", "gmailOAuth2", "Post ✓", n8nValues["refreshed"], "pers")
		f.sql = append(f.sql, n8nShare(prefix, "c01", "team", "user"))
		add("c02", "googleSheetsOAuth2Api", "", n8nValues["not refreshed"], "team")
		add("c03", "oAuth2Api", "Own", n8nValues["camelCase"], "lost")
		add("c04", "slackOAuth2Api", "Own", n8nValues["no expiry"], "pers")
		add("c05", "oAuth2Api", "Own", n8nValues["zero expiry"], "pers")
		add("c06", "oAuth2Api", "Own", n8nValues["client credentials"], "")
		add("c07", "oAuth2Api", "Own", n8nValues["never connected"], "pers")
		add("c08", "oAuth2Api", "Own", n8nValues["empty token data"], "pers")
		add("c09", "oAuth2Api", "Own", n8nValues["expression"], "pers")
		add("c10", "oAuth2Api", "Own", n8nValues["refresh token only"], "pers")
		add("c11", "mediaWikiOAuth2Api", "Own", n8nValues["OAuth 1"], "pers")
		add("c12", "twitterOAuth1Api", "Own", n8nValues["OAuth 1"], "pers")
		add("c13", "openAiApi", "Own", "damaged, and none of ours", "pers")
		add("c14", "slackOAuth2Api", "Own", sealedValue("n8n", "classic, 64 KiB"), "pers")
		add("c15", "slackOAuth2Api", "Own", n8nValues["refreshed"][:60], "pers")
		add("c16", "slackOAuth2Api", "Own", "", "pers")
		add("c17", "slackOAuth2Api", "Own", "not JSON", "pers")
		add("c18", "oAuth2Api", "Own", n8nValues["not refreshed"], "")
		f.sql = append(f.sql, fmt.Sprintf(`UPDATE %scredentials_entity SET "updatedAt" = 'infinity' WHERE id = 'c14'`, prefix))
		f.want = map[string]string{
			"c01": `{` + full + `,"subject":"` + user + `"}`,
			"c02": `{"provider":"googleSheetsOAuth2Api",` + later + `,"scopes":["a","b"],"subject":"team","tenant":{"id":"team"}}`,
			"c03": `{"provider":"oAuth2Api","name":"Own",` + later + `,"subject":"lost"}`,
			"c04": `{"provider":"slackOAuth2Api","name":"Own","accessToken":"xoxb-1","expiresAt":"made up","scopes":["chat:write","users:read"],"subject":"` + user + `"}`,
			"c05": "missing_expiry",
			"c06": fmt.Sprintf(`{"provider":"oAuth2Api","name":"Own","accessToken":"cc","expiresAt":%d,"subject":{"type":"app"}}`, changed+3600_000),
			"c07": "never_connected", "c08": "never_connected", "c09": "placeholder", "c10": "no_token", "c11": "oauth1", "c12": "oauth1", "c13": "not_oauth",
			"c14": `{"provider":"slackOAuth2Api","name":"Own","accessToken":"` + longToken + `","refreshToken":"1//0g-réfresh-✓","scopes":["openid"],"expiresAt":"made up","subject":"` + user + `"}`,
			"c15": "decrypt_failed", "c16": "never_connected", "c17": "decrypt_failed", "c18": "missing_subject",
		}
		fixtures = append(fixtures, f)
	}
	fixtures = append(fixtures, n8nOld("role", "role text", "", "'credential:owner'", "'credential:user'", keys, wrong, later),
		n8nOld("role_id", `"roleId" integer`, `CREATE TABLE role (id integer PRIMARY KEY, name varchar(32), scope varchar(255)); INSERT INTO role VALUES (1, 'owner', 'credential'), (2, 'user', 'credential')`, "1", "2", keys, wrong, later),
		n8nDynamic("dynamic", user, keys, wrong, later), n8nDynamic("dynamic_user", user, keys, wrong, later), n8nRotated(keys, wrong))
}

// n8nOld is a database of before projects, with integer ids.
func n8nOld(ownership, column, roles, owner, other string, keys, wrong Keys, later string) fixture {
	return fixture{
		store: "n8n", name: "old, " + ownership, variant: "credentials by " + ownership, keys: keys, wrong: wrong, decrypted: 1,
		sql: []string{
			n8nCredentials("", "integer"), roles,
			fmt.Sprintf(`CREATE TABLE shared_credentials ("userId" uuid, "credentialsId" integer, %s)`, column),
			n8nInsert("", 7, "oAuth2Api", "Own", n8nValues["camelCase"]),
			fmt.Sprintf(`INSERT INTO shared_credentials VALUES ('00000000-0000-4000-8000-000000000009', 7, %s), ('00000000-0000-4000-8000-000000000001', 7, %s)`, other, owner),
		},
		want: map[string]string{"7": `{"provider":"oAuth2Api","name":"Own",` + later + `,"subject":"00000000-0000-4000-8000-000000000001"}`},
	}
}

// n8nDynamic has the tokens of single users.
func n8nDynamic(entries, user string, keys, wrong Keys, later string) fixture {
	f := fixture{store: "n8n", name: entries, variant: "dynamic credentials", given: Params{"entries": entries}, keys: keys, wrong: wrong, decrypted: 2}
	f.sql = append([]string{n8nCredentials("", "varchar(36)"), n8nInsert("", "c01", "oAuth2Api", "Own", n8nValues["never connected"])}, n8nOwners("")...)
	f.sql = append(f.sql, `CREATE TABLE dynamic_credential_entry (credential_id varchar(16), subject_id varchar(16), resolver_id varchar(16), data text NOT NULL,
			"createdAt" timestamptz(3), "updatedAt" timestamptz(3), PRIMARY KEY (credential_id, subject_id, resolver_id))`,
		`CREATE TABLE dynamic_credential_user_entry ("credentialId" varchar(16), "userId" uuid, "resolverId" varchar(16), data text NOT NULL,
			"createdAt" timestamptz(3), "updatedAt" timestamptz(3), PRIMARY KEY ("credentialId", "userId", "resolverId"))`)
	table, subject := "dynamic_credential_entry (credential_id, subject_id, resolver_id", "s/1"
	if entries == "dynamic_user" {
		table, subject = `dynamic_credential_user_entry ("credentialId", "userId", "resolverId"`, user
	}
	for _, resolver := range []string{"r1", "r2"} {
		f.sql = append(f.sql, fmt.Sprintf(`INSERT INTO %s, data, "updatedAt") VALUES (%s)`, table, quoted("c01", subject, resolver, n8nValues["camelCase"], "2026-11-24 10:00:00+00")))
	}
	want := `{"provider":"oAuth2Api","name":"Own",` + later + `,"subject":"` + subject + `"}`
	f.want = map[string]string{"c01/r1:s%2F1": want, "c01/r2:s%2F1": want}
	if entries == "dynamic_user" {
		f.want = map[string]string{"c01/r1:" + user: want, "c01/r2:" + user: want}
	}
	return f
}

// n8nRotated has data keys in deployment_key, wrapped, beside values of before.
func n8nRotated(keys, wrong Keys) fixture {
	c := sealedCase("n8n", "classic, the instance key is wrapped in a row")
	f := fixture{store: "n8n", name: "rotated keys", variant: "credentials without owners", keys: keys, wrong: wrong, decrypted: 3}
	f.sql = []string{n8nCredentials("", "varchar(36)"),
		`CREATE TABLE deployment_key (id varchar(36) PRIMARY KEY, type varchar(64), value text, algorithm varchar(20), status varchar(20))`,
		`INSERT INTO deployment_key VALUES ('jwt', 'signing', 'x', NULL, 'active')`}
	rows := map[string]bool{}
	for n, name := range []string{c.Name, "keyed GCM", "keyed CBC"} {
		a := sealedCase("n8n", name)
		for _, row := range a.Keys.(map[string]any)["data_keys"].([]any) {
			r := row.(map[string]any)
			if rows[r["id"].(string)] {
				continue
			}
			rows[r["id"].(string)] = true
			f.sql = append(f.sql, "INSERT INTO deployment_key VALUES ("+quoted(r["id"], "data_encryption", r["value"], r["algorithm"], "inactive")+")")
		}
		f.sql = append(f.sql, n8nInsert("", fmt.Sprint("k", n), "oAuth2Api", "Own", sealedValue("n8n", name)))
	}
	f.sql = append(f.sql, n8nInsert("", "k9", "oAuth2Api", "Own", "unknownKey:"+sealedValue("n8n", "classic")))
	f.want = map[string]string{"k0": "missing_subject", "k1": "missing_subject", "k2": "missing_subject", "k9": "decrypt_failed"}
	return f
}

// A row that one of two tables of single users may hold is told of.
func TestN8n_TellsOfTheTokensOfSingleUsers(t *testing.T) {
	f := n8nDynamic("dynamic", "", nil, nil, "")
	plan, err := n8n.Prepare(t.Context(), newDatabase(t, f.sql...), nil, nil)
	if err != nil || len(plan.Match.Warnings) != 2 {
		t.Errorf("got %+v, %v, want two warnings", plan, err)
	}
}

// A renamed table is read where the parameters say what else begins with.
func TestN8n_ReadsARenamedTable(t *testing.T) {
	config := newDatabase(t, append([]string{n8nCredentials("n8n_", "varchar(36)"), "ALTER TABLE n8n_credentials_entity RENAME TO creds"}, n8nOwners("n8n_")...)...)
	plan, err := n8n.Prepare(t.Context(), config, Params{"table": "creds", "prefix": "n8n_"}, nil)
	if err != nil || plan.Match.Params["ownership"] != "project" {
		t.Errorf("got %+v, %v, want credentials by project", plan, err)
	}
	if _, err := n8n.Prepare(t.Context(), config, Params{"prefix": "other_"}, nil); err == nil {
		t.Error("another prefix: got nil, want an error")
	}
}
