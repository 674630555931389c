package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestSDK has the official TypeScript SDK (sdktest/package.json tells its
// version) call the sandbox: the sandbox must take the SDK's requests, and the
// SDK, which validates what it reads, the sandbox's answers and errors. It
// needs node and npm, and the npm registry; without them it is skipped, but
// fails where CI=true.
func TestSDK(t *testing.T) {
	dir := installSDK(t)
	s, url := start(t, Options{
		Audit: AuditFull, Credential: "right", Connectors: []string{"slack/acme-slack"}, Forbidden: []string{"secret/x"}, Gone: []string{"scl_gone"},
		RefuseSubjects: []string{"refused"}, RejectSubjects: []string{"rejected"}, RejectStatus: 422,
	})
	limited, limitedURL := start(t, Options{Limit: 1, Window: time.Hour})
	got := runSDK(t, dir, url, limitedURL)

	const imported = `{"accepted":3,"imported":2,"tokens":[
		{"environment":"env_Custom1","expiresAt":1900000000000,"subject":{"type":"user","id":"full","issuer":"https://issuer.example"},
			"refreshTokenExpiresAt":1950000000000,"installationId":"inst-1","audience":["https://api.example"],"scopes":["chat:write","users:read"],
			"resources":["res-1"],"authorizationDetails":[{"type":"payment"}],"name":"Ann \\ <b>","externalSubject":"U012",
			"installation":{"id":"inst-1","name":"Acme"},"tenant":{"id":"T1","name":"Tenant"},"data":{"nested":{"list":[1,true,null,"x"]}},"succeeded":true},
		{"environment":"production","expiresAt":1900000000000,"subject":{"type":"app"},"succeeded":true},
		{"environment":"production","expiresAt":1900000000000,"subject":{"type":"user","id":"refused"},"succeeded":false}]}`
	for _, c := range []struct{ name, want string }{
		{"imported", imported},
		{"none", `{"accepted":0,"imported":0,"tokens":[]}`},
		{"limit kept", `{"accepted":1,"imported":1,"tokens":[{"environment":"production","expiresAt":1900000000000,"subject":{"type":"user","id":"a"},"succeeded":true}]}`},
	} {
		var got1, want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got[c.name].Value, &got1); err != nil || !reflect.DeepEqual(got1, want) {
			t.Errorf("%s: got %s, error %+v\nwant %s", c.name, got[c.name].Value, got[c.name].Error, c.want)
		}
	}
	for _, c := range []struct {
		name   string
		status int
		code   string
	}{
		{"bad request", 400, "bad_request"}, {"unauthorized", 401, "unauthorized"}, {"forbidden", 403, "forbidden"}, {"not found", 404, "not_found"},
		{"gone", 410, "gone"}, {"unprocessable", 422, "unprocessable_entity"}, {"rate limited", 429, "rate_limited"},
	} {
		e := got[c.name].Error
		if e == nil || !e.SDKError || !e.VercelError || e.Status != c.status || !strings.Contains(e.Body, `"code":"`+c.code+`"`) {
			t.Errorf("%s: got %+v, value %s, want the SDK's error with status %d and code %s", c.name, e, got[c.name].Value, c.status, c.code)
		}
	}
	if e := got["rate limited"].Error; e != nil && e.RetryAfter == "" {
		t.Errorf("rate limited: the SDK sees no Retry-After: %+v", e)
	}
	checkSDKRequests(t, s.Audit(), limited.Audit())
}

// checkSDKRequests compares what arrived with what check.mjs sends.
func checkSDKRequests(t *testing.T, a, limited Audit) {
	t.Helper()
	if len(a.Calls) != 8 || len(limited.Calls) != 2 || len(a.Imported) != 2 {
		t.Fatalf("got %d and %d calls, %d tokens imported; want 8, 2 and 2", len(a.Calls), len(limited.Calls), len(a.Imported))
	}
	c := a.Calls[0]
	if c.URI != "/v1/connect/token/slack%2Facme-slack/import" || c.Connector != "slack/acme-slack" || !strings.Contains(c.UserAgent, "speakeasy-sdk/typescript 1.28.17") {
		t.Errorf("got %s for %s by %s", c.URI, c.Connector, c.UserAgent)
	}
	full := c.Tokens[0]
	want := Identity{"slack/acme-slack", "env_Custom1", Subject{"user", "full", "https://issuer.example"}, "inst-1", "T1"}
	if full.Identity != want || full.AccessToken != "access-of-full" || full.RefreshToken != "refresh \"of\" full ä😀" ||
		full.ExpiresAt != 1900000000000 || full.ExternalSubject != "U012" || full.Answered != Yes {
		t.Errorf("got %+v, want %+v and its credentials", full, want)
	}
	if app := c.Tokens[1]; app.Subject != (Subject{Type: "app"}) || !app.Imported {
		t.Errorf("got %+v, want the app's token imported", app)
	}
	if no := c.Tokens[2]; no.Imported || no.Answered != No {
		t.Errorf("got %+v, want a refused token", no)
	}
}

// sdkResult is one line of check.mjs.
type sdkResult struct {
	Name  string
	Value json.RawMessage
	Error *struct {
		Class                 string
		SDKError, VercelError bool
		Status                int
		RetryAfter            string
		Body, Message         string
	}
}

func runSDK(t *testing.T, dir string, args ...string) map[string]sdkResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{"check.mjs"}, args...)...)
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node check.mjs: %v\n%s%s", err, out, stderr.Bytes())
	}
	results := map[string]sdkResult{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var r sdkResult
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("read %q: %v", lines.Text(), err)
		}
		results[r.Name] = r
	}
	return results
}

// installSDK installs the SDK into a folder of the test and returns it.
func installSDK(t *testing.T) string {
	t.Helper()
	unavailable := t.Skipf
	if os.Getenv("CI") == "true" {
		unavailable = t.Fatalf
	} else if testing.Short() {
		t.Skip("installs the SDK from npm, which -short leaves out")
	}
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			unavailable("the SDK test needs %s, which is not in PATH; install Node.js 20 or newer with npm", tool)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc", "check.mjs"} {
		text, err := os.ReadFile(filepath.Join("sdktest", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		unavailable("the SDK test needs the npm registry, and npm ci failed: %v\n%s", err, out)
	}
	return dir
}
