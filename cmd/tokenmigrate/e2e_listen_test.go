package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"tokenmigrate/migrate/connect/sandbox"
)

// listening returns where a process that was started with --listen listens.
func (p *process) listening() string {
	p.rig.Helper()
	p.untilSays("listening: the live report")
	for line := range strings.Lines(p.stderr.String()) {
		var said struct{ Message, Addr string }
		if json.Unmarshal([]byte(line), &said) == nil && strings.HasPrefix(said.Message, "listening") {
			return "http://" + said.Addr
		}
	}
	p.rig.Fatalf("no line tells the address\n%s", p.said())
	return ""
}

// ask makes one request; a status of 0 is no answer.
func (r *rig) ask(method, url string) (status int, header http.Header, body string) {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, url, nil)
	if err != nil {
		r.Fatal(err)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, err.Error()
	}
	return res.StatusCode, res.Header, string(text)
}

// metrics are as /metrics writes them, by name and labels: `name{label="value"}`.
// Of histograms only the count is kept, under the histogram's own name.
type metrics map[string]float64

var metricLine = regexp.MustCompile(`(?m)^(tokenmigrate_[a-z_]+)(\{.*\})? (\S+)$`)

func parseMetrics(t *testing.T, text string) metrics {
	t.Helper()
	m := make(metrics)
	for _, found := range metricLine.FindAllStringSubmatch(text, -1) {
		name, histogram := strings.CutSuffix(found[1], "_count")
		if !histogram && strings.Contains(found[2], `le="`) || strings.HasSuffix(name, "_sum") {
			continue
		}
		value, err := strconv.ParseFloat(found[3], 64)
		if err != nil {
			t.Fatalf("%q: %v", found[0], err)
		}
		m[name+found[2]] = value
	}
	return m
}

// sum adds up the values of a metric that have these labels ("name", "value", ...).
func (m metrics) sum(name string, labels ...string) float64 {
	total := 0.0
	for series, value := range m {
		is, has, _ := strings.Cut(series, "{")
		fits := is == name
		for i := 0; i < len(labels); i += 2 {
			fits = fits && strings.Contains(has, labels[i]+"="+strconv.Quote(labels[i+1]))
		}
		if fits {
			total += value
		}
	}
	return total
}

// importedTile finds the number that the page shows as imported.
var importedTile = regexp.MustCompile(`(?s)<dt>Imported</dt>\s*<dd>([0-9,]+)`)

func importedOn(page string) int {
	found := importedTile.FindStringSubmatch(page)
	if found == nil {
		return -1
	}
	n, _ := strconv.Atoi(strings.ReplaceAll(found[1], ",", ""))
	return n
}

// While a run goes on, its page and its metrics tell how far it is, and neither
// holds a credential or a subject id.
func TestListen_ShowsARunWhileItGoesOn(t *testing.T) {
	t.Parallel()
	const rows = 300
	r := newRig(t, sandbox.Options{Latency: 100 * time.Millisecond, RefuseSubjects: []string{"user-7"}}).fill(rows).
		with("send.chunk_tokens", "10", "send.concurrency", "1", "policy.max_failed", "1")
	r.exec(`UPDATE accounts SET connector = 'github/of-a-row' WHERE id > 290`)
	r.with("source.query", fmt.Sprintf("%q", strings.Replace(storeQuery, "connector,", "coalesce(connector, 'slack/acme') AS connector,", 1)), "destination.connector", "", "destination.connectors", "{slack: slack/acme, google: skip}")
	secrets := canaries{"credential": credential}
	for id, a := range r.accounts() {
		if len(id) == 3 {
			secrets["subject "+id] = a.Subject
		}
		secrets["access token "+id] = a.Access
	}
	p := r.start(nil, "run", "--listen", "127.0.0.1:0")
	at := p.listening()
	var seen []int
	r.until("the page tells of progress twice", func() bool {
		status, _, page := r.ask(http.MethodGet, at+"/")
		if n := importedOn(page); status == http.StatusOK && n > 0 && (len(seen) == 0 || n > seen[len(seen)-1]) {
			seen = append(seen, n)
			secrets.search(t, "the page", page)
			if !strings.Contains(page, `http-equiv="refresh"`) {
				t.Error("the page does not refresh itself")
			}
		}
		return len(seen) >= 3
	})
	r.until("it is ready", func() bool { status, _, _ := r.ask(http.MethodGet, at+"/readyz"); return status == http.StatusOK })
	status, header, text := r.ask(http.MethodGet, at+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: got %d\n%s", status, text)
	}
	if got := header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: got %q, want no-store", got)
	}
	secrets.search(t, "the metrics", text)
	problems, err := promlint.New(bytes.NewBufferString(text)).Lint()
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "tokenmigrate_") {
			t.Errorf("promlint: %s: %s", problem.Metric, problem.Text)
		}
	}
	if err != nil {
		t.Error(err)
	}
	if !strings.Contains(text, "\ngo_gc_gomemlimit_bytes 3.145728e+07\n") {
		t.Error("the process does not tend its heap: go_gc_gomemlimit_bytes is not 30 MiB")
	}
	m := parseMetrics(t, text)
	for _, c := range []struct {
		what     string
		got      float64
		from, to float64
	}{
		{"tokens", m.sum("tokenmigrate_tokens"), rows, rows},
		{"tokens by connector", m.sum("tokenmigrate_connector_tokens"), rows, rows},
		{"tokens of connectors of rows", m.sum("tokenmigrate_connector_tokens", "connector", "other"), 10, 10},
		{"refused tokens", m.sum("tokenmigrate_tokens", "outcome", "failed", "reason", "refused"), 1, 1},
		{"imported tokens", m.sum("tokenmigrate_tokens", "outcome", "imported"), float64(seen[2]), rows - 2},
		{"calls", m.sum("tokenmigrate_calls_total", "answer", "2xx"), 3, 30},
		{"durations", m.sum("tokenmigrate_call_duration_seconds"), m.sum("tokenmigrate_calls_total"), 30},
		{"sizes", m.sum("tokenmigrate_chunk_tokens"), m.sum("tokenmigrate_calls_total"), 30},
		{"pace", m.sum("tokenmigrate_pace_requests_per_minute"), 1e6, 1e6},
		{"rows of the source", m.sum("tokenmigrate_source_rows"), rows, rows},
		{"estimated", m.sum("tokenmigrate_source_rows_estimated"), 0, 0},
		{"rows ahead", m.sum("tokenmigrate_reader_ahead_rows"), 1, rows},
		{"walk", m.sum("tokenmigrate_walk"), 1, 1},
		{"open in a later walk", m.sum("tokenmigrate_walk_open_tokens"), 0, 0},
		{"age of rows", m.sum("tokenmigrate_reader_oldest_row_age_seconds"), 0.001, 30},
		{"lease held", m.sum("tokenmigrate_lease_held"), 1, 1},
		{"lease left", m.sum("tokenmigrate_lease_remaining_seconds"), 15, 30},
		{"last success", m.sum("tokenmigrate_last_success_timestamp_seconds"), float64(time.Now().Unix() - 10), float64(time.Now().Unix() + 1)},
		{"build", m.sum("tokenmigrate_build_info"), 1, 1},
		{"run", m.sum("tokenmigrate_run_info", "migration", "acme", "mode", "run", "shard", "0", "shards", "1"), 1, 1},
	} {
		if c.got < c.from || c.got > c.to {
			t.Errorf("%s: got %v, want %v to %v", c.what, c.got, c.from, c.to)
		}
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodHead, "/", 200}, {http.MethodGet, "/healthz", 200}, {http.MethodPost, "/", 405}, {http.MethodPut, "/metrics", 405},
		{http.MethodDelete, "/readyz", 405}, {http.MethodGet, "/nothing", 404}, {http.MethodGet, "/metrics/../etc", 404},
	} {
		if status, _, body := r.ask(c.method, at+c.path); status != c.want {
			t.Errorf("%s %s: got %d %q, want %d", c.method, c.path, status, body, c.want)
		}
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", code, p.said())
	}
	if status, _, _ := r.ask(http.MethodGet, at+"/healthz"); status != 0 {
		t.Errorf("it still answers after its end: %d", status)
	}
}

// A page that is open when the run ends loads itself once more, and then stays.
func TestListen_ShowsTheEnd(t *testing.T) {
	t.Parallel()
	const rows = 200
	r := newRig(t, sandbox.Options{Latency: 50 * time.Millisecond}).fill(rows).with("send.chunk_tokens", "10", "send.concurrency", "1")
	p := r.start(nil, "run", "--listen", "127.0.0.1:0")
	at := p.listening()
	page := ""
	r.until("the page shows the end", func() bool {
		_, _, page = r.ask(http.MethodGet, at+"/")
		return strings.Contains(page, "none missing")
	})
	if importedOn(page) != rows || strings.Contains(page, `http-equiv="refresh"`) {
		t.Errorf("the last page shows %d of %d imported, and loads itself anew: %t", importedOn(page), rows, strings.Contains(page, `http-equiv="refresh"`))
	}
	r.until("the report is printed", func() bool { return strings.Contains(p.stdout.String(), "Done: 200 imported now") })
	if status, _, _ := r.ask(http.MethodGet, at+"/"); status != http.StatusOK {
		t.Errorf("after the report: got %d, want 200 for those who have the page open", status)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", code, p.said())
	}
}

// While it waits for another worker it answers, and is not ready.
func TestListen_AnswersWhileItWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{Latency: 200 * time.Millisecond}).fill(300).with("send.chunk_tokens", "10", "send.concurrency", "1")
	first := r.start(nil, "run")
	r.untilCalls(1)
	second := r.start(nil, "run", "--listen", "127.0.0.1:0")
	at := second.listening()
	r.until("it says what it waits for", func() bool {
		status, _, text := r.ask(http.MethodGet, at+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "waiting for: lease")
	})
	if status, _, text := r.ask(http.MethodGet, at+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: got %d %q, want 200", status, text)
	}
	if status, _, text := r.ask(http.MethodGet, at+"/"); status != http.StatusOK || !strings.Contains(text, "acme") {
		t.Errorf("the page: got %d\n%s", status, text)
	}
	_, _, text := r.ask(http.MethodGet, at+"/metrics")
	if m := parseMetrics(t, text); m.sum("tokenmigrate_waiting", "cause", "lease") != 1 || m.sum("tokenmigrate_waiting") != 1 || m.sum("tokenmigrate_ready") != 0 {
		t.Errorf("metrics: got\n%s\nwant it to wait for the lease, and not to be ready", text)
	}
	first.kill()
	if code := second.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", code, second.said())
	}
}

// A dry run, too, can be looked at.
func TestListen_ShowsADryRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, sandbox.Options{}).fill(300).with("source.page_size", "10", "source.query", fmt.Sprintf("%q", storeQuery+" WHERE pg_sleep(0.01) IS NOT NULL"))
	p := r.start(nil, "dry-run", "--listen", "127.0.0.1:0")
	at := p.listening()
	r.until("the page tells of the dry run", func() bool {
		_, _, page := r.ask(http.MethodGet, at+"/")
		return strings.Contains(page, "The dry run is under way") || strings.Contains(page, "under way")
	})
	r.until("the metrics count", func() bool {
		_, _, text := r.ask(http.MethodGet, at+"/metrics")
		m := parseMetrics(t, text)
		return m.sum("tokenmigrate_tokens", "outcome", "pending") > 0 && m.sum("tokenmigrate_run_info", "mode", "dry-run") == 1
	})
	if code := p.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0\n%s", code, p.said())
	}
	if r.hasCheckpoint() {
		t.Error("the dry run made a checkpoint")
	}
}

// An address that cannot be had is an error of usage, before anything is done.
func TestListen_RefusesAddresses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	r := newRig(t, sandbox.Options{}).fill(3)
	for _, addr := range []string{taken.Addr().String(), "9090", "256.0.0.1:0", "localhost:http:x", ":99999"} {
		p := r.must(78, "run", "--listen", addr)
		if said := p.stderr.String(); !strings.Contains(said, "give HOST:PORT or :PORT that is free") || !strings.Contains(said, addr) {
			t.Errorf("--listen %s: got %q, want the address and what to do", addr, said)
		}
	}
	if r.hasCheckpoint() || r.endpoint.Summary().Calls != 0 {
		t.Error("work began all the same")
	}
}
