package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"tokenmigrate/migrate/connect/sandbox"
)

// canaries are texts that must stand nowhere but in the import call, by what
// they are.
type canaries map[string]string

// forms returns the ways in which a text may be written.
func forms(text string) map[string]string {
	out := map[string]string{
		"plain": text, "url": url.QueryEscape(text), "path": url.PathEscape(text), "quoted": strings.Trim(strconv.Quote(text), `"`),
		"hex": hex.EncodeToString([]byte(text)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(text))),
	}
	// In base64 the text may begin at any of three places: what does not depend
	// on its neighbours is looked for.
	for shift := range 3 {
		padded := append(make([]byte, shift), text...)
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			encoded := encoding.EncodeToString(padded)
			out[fmt.Sprintf("%s+%d", name, shift)] = encoded[(shift*8+5)/6 : len(encoded)-2]
		}
	}
	return out
}

// search fails where a canary stands in a text.
func (c canaries) search(t *testing.T, where, text string) {
	t.Helper()
	for what, canary := range c {
		for form, looks := range forms(canary) {
			if at := strings.Index(text, looks); at >= 0 {
				t.Errorf("%s holds the %s, as %s: ...%s...", where, what, form, text[max(0, at-80):min(len(text), at+40)])
			}
		}
	}
}

// searchAll looks everywhere: what the process wrote, its reports, everything in
// the checkpoint.
func (c canaries) searchAll(p *process) {
	r := p.rig
	r.Helper()
	c.search(r.T, "stdout of "+p.name, p.stdout.String())
	c.search(r.T, "stderr of "+p.name, p.stderr.String())
	reports, err := filepath.Glob(filepath.Join(r.folder, "*"))
	if err != nil {
		r.Fatal(err)
	}
	for _, path := range reports {
		if ext := filepath.Ext(path); ext != ".json" && ext != ".txt" && ext != ".html" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			r.Fatal(err)
		}
		c.search(r.T, filepath.Base(path), string(text))
	}
	if r.hasCheckpoint() {
		c.search(r.T, "the checkpoint", dump(r.T, r.cp))
	}
}

func TestCanaries_FindEveryForm(t *testing.T) {
	const text = `ca"n=/ary+4711&x`
	for name, spelled := range map[string]string{
		"plain": "x" + text + "x", "url": "q=" + url.QueryEscape(text), "json": strconv.Quote("a" + text), "hex": hex.EncodeToString([]byte("ab" + text)),
		"base64": base64.StdEncoding.EncodeToString([]byte("user:" + text + "!")), "base64 of all": base64.URLEncoding.EncodeToString([]byte(text)),
	} {
		found := false
		for _, looks := range forms(text) {
			found = found || strings.Contains(spelled, looks)
		}
		if !found {
			t.Errorf("%s: not found in %q", name, spelled)
		}
	}
}

// However things fail, no credential leaves the process but in the call.
func TestRun_KeepsSecrets(t *testing.T) {
	t.Parallel()
	secrets := canaries{
		"access token": `xoxb-CANARYaccess+/=4711"quoted\end`, "refresh token": `xoxr-CANARYrefresh%25&4712<b>`,
		"API credential": "vca_CANARYcredential4713", "source password": "CANARY:source4714pw", "checkpoint password": "CANARY:checkpoint4715pw",
		"cipher key": "CANARYcipherkey4716+/==",
	}
	type leak struct {
		name   string
		faults []string
		of     string // the subject whose calls play the faults; empty: any
		sql    string
		conf   []string
		spoil  func(*rig)
		args   []string
		code   int
	}
	query := func(from, to string) []string {
		return []string{"source.query", fmt.Sprintf("%q", strings.Replace(storeQuery, from, to, 1))}
	}
	// A store whose cipher has a key: the first rows are sealed with another one, the
	// last one with this, the others are plain.
	sealed := func(sealed int, key string) leak {
		return leak{
			sql: fmt.Sprintf(`CREATE TABLE account ("id" text, "providerId" text, "accountId" text, "userId" text, "accessToken" text, "refreshToken" text,
					"accessTokenExpiresAt" timestamptz, "refreshTokenExpiresAt" timestamptz, "scope" text);
				INSERT INTO account SELECT id, 'slack', id, 'user-' || id, CASE WHEN id <= %d THEN repeat('ab', 60) WHEN id = 60 THEN '%s' ELSE access END, refresh, expires FROM accounts;
				GRANT SELECT ON account TO PUBLIC`, sealed, sealBetterAuth(t, secrets["cipher key"], secrets["access token"])),
			conf: []string{"source.query", "", "source.store", "better-auth", "source.decrypt", fmt.Sprintf("{%s: %q}", key, "${CIPHER_KEY}")},
			args: []string{"run"},
		}
	}
	notOpened, wrongKey, noKey := sealed(7, "secret"), sealed(60, "secret"), sealed(7, "secrets")
	notOpened.name, notOpened.code = "sealed by another key", 3
	wrongKey.name, wrongKey.code = "a cipher key that opens nothing", 78
	noKey.name, noKey.code = "a cipher key that is none", 78
	cases := []leak{
		notOpened, wrongKey, noKey,
		{name: "all is well", args: []string{"run"}},
		{name: "dry", args: []string{"dry-run"}},
		{name: "echoed in a 400", faults: []string{"echo-credentials"}, of: "user-7", args: []string{"run"}, code: 3},
		{name: "echoed in a 401", faults: []string{"echo-credentials:401"}, args: []string{"run"}, code: 4},
		{name: "echoed in a 403", faults: []string{"echo-credentials:403"}, args: []string{"run"}, code: 4},
		{name: "echoed in a 409", faults: []string{"echo-credentials:409"}, args: []string{"run"}, code: 4},
		{name: "echoed in a 429", faults: []string{"echo-credentials:429=#1"}, args: []string{"run"}},
		{name: "echoed in a 500", faults: []string{"echo-credentials:500=#1,#2"}, args: []string{"run"}},
		{name: "unreadable answers", faults: []string{"not-json=#1", "other-json=#2", "cut-body=#3", "empty-body=#4"}, args: []string{"run"}},
		{name: "a redirect", faults: []string{"307"}, args: []string{"run"}, code: 78},
		{name: "bad rows", sql: `UPDATE accounts SET subject = NULL WHERE id = 1; UPDATE accounts SET expires = NULL WHERE id = 2;
			UPDATE accounts SET subject = 'user-4' WHERE id = 3; UPDATE accounts SET expires = now() - interval '1 day', refresh = NULL WHERE id = 5`, args: []string{"run"}, code: 3},
		{name: "a cast that quotes the value", conf: query("expires AS", "access::timestamptz AS"), args: []string{"run"}, code: 78},
		{name: "json that quotes the value", conf: query("subject AS", "(refresh::jsonb->>'x') AS"), args: []string{"run"}, code: 78},
		{name: "a division that quotes", conf: query("expires AS", "to_timestamp(1/(length(access)-length(access))) AS"), args: []string{"dry-run"}, code: 78},
		{name: "a token where the expiry belongs", conf: query("expires AS", "access AS"), args: []string{"run"}, code: 3},
		{name: "a token where scopes belong", conf: query("SELECT", "SELECT access AS environment, refresh AS subject_type,"), args: []string{"run"}, code: 3},
		{name: "a token in the query", conf: query("id AS key", `id AS key, 'xoxb-CANARYaccess+/=4711' || x AS name`), args: []string{"run"}, code: 78},
		{name: "a wrong password", spoil: func(r *rig) {
			r.env["SOURCE_DATABASE_URL"] = asRole(r.env["SOURCE_DATABASE_URL"], "postgres", secrets["source password"])
		}, args: []string{"run"}, code: 78},
		{name: "a wrong checkpoint password", spoil: func(r *rig) {
			r.env["CHECKPOINT_DATABASE_URL"] = asRole(r.env["CHECKPOINT_DATABASE_URL"], "nobody_here", secrets["checkpoint password"])
		}, args: []string{"run"}, code: 78},
		{name: "no such host", spoil: func(r *rig) {
			r.env["SOURCE_DATABASE_URL"] = "postgres://u:" + url.QueryEscape(secrets["source password"]) + "@" + deadAddress(r) + "/db"
		}, args: []string{"run"}, code: 5},
		{name: "a URL that is none", spoil: func(r *rig) {
			r.env["SOURCE_DATABASE_URL"] = "postgres://u:" + secrets["source password"] + "/x@@localhost:x/db"
		}, args: []string{"run"}, code: 78},
		{name: "a trigger that raises", spoil: func(r *rig) {
			r.must(0, "run", "--limit", "1")
			mustExec(r.T, r.cp, `CREATE FUNCTION tokenmigrate.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'row %', NEW; END $$`)
			mustExec(r.T, r.cp, `CREATE TRIGGER no BEFORE INSERT ON tokenmigrate.calls FOR EACH ROW EXECUTE FUNCTION tokenmigrate.no()`)
		}, args: []string{"run"}, code: 78},
		{name: "killed by SIGQUIT", faults: []string{"hang"}, args: []string{"run"}, code: 2},
	}
	atOnce(t, 4, cases, func(c leak) string { return c.name }, func(t *testing.T, c leak) {
		o := sandbox.Options{Credential: secrets["API credential"]}
		for _, text := range c.faults {
			f, err := sandbox.ParseFault(text)
			if err != nil {
				t.Fatal(err)
			}
			f.Subject = c.of
			o.Faults = append(o.Faults, f)
		}
		r := newRig(t, o).fill(60).with("send.chunk_tokens", "20", "send.timeout", "1s")
		r.exec(`UPDATE accounts SET access = $1 || id || $1, refresh = $2 || id || $2`, secrets["access token"], secrets["refresh token"])
		if c.sql != "" {
			r.exec(c.sql)
		}
		r.with(c.conf...)
		r.env["VERCEL_TOKEN"], r.env["CIPHER_KEY"] = secrets["API credential"], secrets["cipher key"]
		r.passwords(secrets)
		if c.spoil != nil {
			c.spoil(r)
		}
		// What lies in the store is no leak.
		args := append(c.args, "--log-level", "trace", "--report", filepath.Join(r.folder, "report.txt"))
		p := r.start(nil, args...)
		if c.code == 2 {
			r.untilCalls(1)
			p.signal(syscall.SIGQUIT)
		}
		if code := p.within(30 * time.Second); code != c.code {
			t.Errorf("exit code: got %d, want %d\n%s", code, c.code, p.said())
		}
		r.exec(`DROP TABLE accounts; DROP TABLE IF EXISTS account`)
		secrets.searchAll(p)
		if r.hasCheckpoint() {
			r.env["SOURCE_DATABASE_URL"] = r.db.Config().ConnString()
			r.env["CHECKPOINT_DATABASE_URL"] = r.cp.Config().ConnString()
			for _, args := range [][]string{{"status"}, {"status", "--json"}, {"failures"}, {"failures", "--format", "jsonl"},
				{"report", "--report", filepath.Join(r.folder, "again.html")}, {"report", "--report", "-"}} {
				secrets.searchAll(r.must(0, args...))
			}
		}
	})
}

// sealBetterAuth seals a token as Better Auth does with encryptOAuthTokens.
func sealBetterAuth(t *testing.T, secret, token string) string {
	t.Helper()
	key := sha256.Sum256([]byte(secret))
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, aead.NonceSize())
	return hex.EncodeToString(aead.Seal(nonce, nonce, []byte(token), nil))
}

// passwords gives the databases roles whose passwords are canaries.
func (r *rig) passwords(secrets canaries) {
	r.Helper()
	reader, _ := r.onlySelect()
	writer, _ := r.onlySelect()
	r.exec(`ALTER ROLE ` + reader + ` PASSWORD '` + secrets["source password"] + `'`)
	r.exec(`ALTER ROLE ` + writer + ` PASSWORD '` + secrets["checkpoint password"] + `'`)
	r.exec(`GRANT CREATE ON DATABASE ` + r.db.Config().Database + ` TO ` + writer)
	r.env["SOURCE_DATABASE_URL"] = asRole(r.env["SOURCE_DATABASE_URL"], reader, secrets["source password"])
	r.env["CHECKPOINT_DATABASE_URL"] = asRole(r.env["CHECKPOINT_DATABASE_URL"], writer, secrets["checkpoint password"])
}
