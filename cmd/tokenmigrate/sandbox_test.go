package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect/sandbox"
)

// runSandbox runs the command as main does, until ctx ends.
func runSandbox(ctx context.Context, stdout, stderr io.Writer, args ...string) int {
	return run(ctx, context.Background(), append([]string{"sandbox"}, args...), os.LookupEnv, stdout, stderr)
}

func TestSandboxCommand_ServesUntilStopped(t *testing.T) {
	t.Setenv("SANDBOX_BEARER", "open-sesame")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- runSandbox(ctx, in, &stderr, "--addr", "127.0.0.1:0", "--credential-env", "SANDBOX_BEARER", "--limit", "2",
			"--fault", "reset-after-import=#2", "--log-level", "debug", "--log-format", "json")
		in.Close()
	}()
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("got %q, %v, want the address; stderr %s", line, err, stderr.String())
	}
	post := func(bearer string) string {
		req, _ := http.NewRequest("POST", url+"/v1/connect/token/slack%2Facme/import", strings.NewReader(
			`{"tokens":[{"accessToken":"at-secret","expiresAt":1900000000000,"subject":{"type":"user","id":"u"},"environment":"production"}]}`))
		req.Header.Set("Authorization", "Bearer "+bearer)
		req.Header.Set("Content-Type", "application/json")
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			return "lost"
		}
		defer res.Body.Close()
		return res.Status
	}
	for i, c := range []struct{ bearer, want string }{
		{"other", "401 Unauthorized"}, {"open-sesame", "200 OK"}, {"open-sesame", "lost"}, {"open-sesame", "429 Too Many Requests"},
	} {
		if got := post(c.bearer); got != c.want {
			t.Errorf("call %d: got %s, want %s", i, got, c.want)
		}
	}
	stop()
	rest, _ := io.ReadAll(lines)
	if code := <-ended; code != 0 {
		t.Errorf("got exit code %d, want 0; stderr %s", code, stderr.String())
	}
	var sum sandbox.Summary
	if err := json.Unmarshal(rest, &sum); err != nil || sum.Calls != 4 || sum.Imports != 2 || sum.Distinct != 1 || sum.Repeated != 1 || sum.Statuses["none"] != 1 {
		t.Errorf("got %v, %s", err, rest)
	}
	if got := strings.Count(stderr.String(), `"message":"call"`); got != 4 {
		t.Errorf("got %d log lines, want 4: %s", got, stderr.String())
	}
	for _, secret := range []string{"at-secret", "open-sesame"} {
		if strings.Contains(stderr.String()+string(rest), secret) {
			t.Errorf("the output tells %q", secret)
		}
	}
}

func TestSandboxCommand_RefusesBadFlags(t *testing.T) {
	t.Setenv("SANDBOX_EMPTY", "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct{ args, want string }{
		{"--addr 0.0.0.0:8787", `--addr: the address "0.0.0.0:8787" is not a loopback one`},
		{"--addr " + taken.Addr().String(), "address already in use; choose another port, or 0 for a free one"},
		{"--addr 8787", "is not HOST:PORT, such as 127.0.0.1:8787"},
		{"--fault rest=3%", `no fault has the name "rest"; use a status code or one of`},
		{"--fault 500=200%", "write 3%, 1/5 or #7"},
		{"--fault 500=60% --fault hang=60%", "add up to 120%, more than all calls"},
		{"--refuse 120%", `"120%" is no share; write a percentage such as 1%`},
		{"--refuse x", `"x" is no share`},
		{"--limit -1", "negative"},
		{"--audit full", `"full" is neither hashes nor off`},
		{"--credential-env SANDBOX_EMPTY", "is empty or not set"},
		{"--log-level loud", "use trace, debug"},
		{"extra", "takes no arguments"},
	} {
		var stdout, stderr bytes.Buffer
		code := runSandbox(t.Context(), &stdout, &stderr, strings.Fields(c.args)...)
		if code != 78 || !strings.Contains(stderr.String(), c.want) || stdout.Len() > 0 {
			t.Errorf("%s: got exit code %d, stdout %q, stderr %q; want 78 and %q", c.args, code, stdout.String(), stderr.String(), c.want)
		}
	}
}

func TestSandboxCommand_HelpNamesTheFaults(t *testing.T) {
	var stdout bytes.Buffer
	if code := runSandbox(t.Context(), &stdout, io.Discard, "--help"); code != 0 {
		t.Fatalf("got exit code %d, want 0", code)
	}
	for _, want := range []string{"silent-limit:N", "reset-after-import", "CODE[:RETRY-AFTER]", "--credential-env"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the help does not name %s", want)
		}
	}
}
