package monitor

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"tokenmigrate/migrate"
	"tokenmigrate/migrate/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMonitor_BeforeTheRun(t *testing.T) {
	m := New(new(migrate.Watch), Info{Version: "v1", Migration: "acme", Connectors: []string{"slack/acme"}})
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/healthz", 200, "ok"},
		{"GET", "/readyz", 503, "it has not begun"},
		{"GET", "/", 200, "<!DOCTYPE html>"},
		{"GET", "/metrics", 200, `tokenmigrate_build_info{goversion=`},
		{"GET", "/metrics", 200, "tokenmigrate_ready 0"},
		{"GET", "/favicon.ico", 404, ""},
		{"POST", "/metrics", 405, "GET or HEAD"},
		{"OPTIONS", "/", 405, "GET or HEAD"},
	} {
		answer := httptest.NewRecorder()
		m.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil))
		if body := answer.Body.String(); answer.Code != c.status || !strings.Contains(strings.ToLower(body), strings.ToLower(c.says)) {
			t.Errorf("%s %s: got %d %.300s, want %d with %q", c.method, c.path, answer.Code, body, c.status, c.says)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store"} {
			if got := answer.Header().Get(name); got != want {
				t.Errorf("%s %s: %s: got %q, want %q", c.method, c.path, name, got, want)
			}
		}
	}
}

func TestMetrics_KeepToTheConventions(t *testing.T) {
	w := new(migrate.Watch)
	all := registry(w, Info{Version: "v1"})
	families, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "tokenmigrate_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestDescribe_TellsWhatIsNotThereYet(t *testing.T) {
	told := make(chan *prometheus.Desc)
	m := New(new(migrate.Watch), Info{})
	go func() { m.Describe(told); close(told) }()
	var all strings.Builder
	for d := range told {
		fmt.Fprintln(&all, d)
	}
	for _, name := range []string{"tokenmigrate_calls_total", "tokenmigrate_tokens", "tokenmigrate_last_success_timestamp_seconds", "go_goroutines"} {
		if !strings.Contains(all.String(), `"`+name+`"`) {
			t.Errorf("%s is not told", name)
		}
	}
}

func TestByReason_AddsUp(t *testing.T) {
	r := &report.Report{
		Counts:  report.Counts{Read: 30, Imported: 10, Unchanged: 2, Failed: 5, Invalid: 4, Skipped: 3, Unknown: 5, Pending: 1},
		Reasons: map[string]int64{"refused": 3, "unavailable": 2, "duplicate": 4, "expired": 2, "a_stores_own": 1, "in_doubt": 5},
	}
	got := make(map[string]int64)
	for _, p := range byReason(r) {
		if _, twice := got[p.outcome+" "+p.reason]; twice {
			t.Errorf("%s %s is there twice", p.outcome, p.reason)
		}
		if got[p.outcome+" "+p.reason] = p.rows; p.rows == 0 {
			delete(got, p.outcome+" "+p.reason)
		}
	}
	want := map[string]int64{
		"imported ": 10, "unchanged ": 2, "pending ": 1, "failed refused": 3, "failed unavailable": 2, "invalid duplicate": 4,
		"skipped expired": 2, "skipped a_stores_own": 1, "unknown in_doubt": 5,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What the calls were spent on is counted under the names that are documented.
func TestSent(t *testing.T) {
	s := newState(new(migrate.Watch), Info{})
	got := make(map[string]float64)
	sent(&report.Calls{Made: 90, Allowed: 100, Full: 80, Wasted: 12, Throttled: 5, Retried: 4, Split: 3, ResentTokens: 2}, func(name string, v float64, labels ...string) {
		if s.d[name] == nil || len(labels) > 0 {
			t.Errorf("%s is not described as it is brought", name)
		}
		got[name] = v
	})
	want := map[string]float64{
		"allowed_calls_total": 100, "full_chunk_calls_total": 80, "wasted_calls_total": 12, "throttled_calls_total": 5,
		"retried_calls_total": 4, "split_calls_total": 3, "resent_tokens_total": 2,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Rows may name any connector, and each would be a series of its own.
func TestConnectors_AreOnlyThoseConfigured(t *testing.T) {
	s := newState(new(migrate.Watch), Info{Connectors: []string{"slack/acme", "github/acme"}})
	r := &report.Report{}
	for n := range 500 {
		r.Connectors = append(r.Connectors, report.Connector{Connector: fmt.Sprintf("of-a-row/%d", n), Counts: report.Counts{Read: 1, Imported: 1}})
	}
	for _, environment := range []string{"preview", "production"} {
		r.Connectors = append(r.Connectors, report.Connector{Connector: "slack/acme", Environment: environment, Counts: report.Counts{Read: 2, Failed: 2}})
	}
	got := make(map[string]float64)
	s.connectors(r, func(name string, v float64, labels ...string) {
		got[name+" "+strings.Join(labels, " ")] = v
	})
	if len(got) != 3*7 || got["connector_tokens other imported"] != 500 || got["connector_tokens slack/acme failed"] != 4 || got["connector_tokens github/acme failed"] != 0 {
		t.Errorf("got %d series: %v", len(got), got)
	}
}

func TestServer_ClosesWithoutWaitingForever(t *testing.T) {
	hangs := make(chan struct{})
	s, err := Listen("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(hangs)
		<-r.Context().Done()
	}))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+s.Addr(), nil)
		if err == nil {
			var res *http.Response
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			if res, err = client.Do(req); err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		}
		asked <- err
	}()
	<-hangs
	start := time.Now()
	s.Close()
	if took := time.Since(start); took > closeTimeout+5*time.Second {
		t.Errorf("closing took %s", took)
	}
	<-asked
	if conn, err := net.Dial("tcp", s.Addr()); err == nil {
		_ = conn.Close()
		t.Error("it still listens")
	}
}

// A client that says nothing does not stay.
func TestServer_DropsSilentClients(t *testing.T) {
	s, err := Listen("127.0.0.1:0", New(new(migrate.Watch), Info{}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(headerTimeout + 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); err != nil || slices.Contains([]string{"200"}, string(text[:min(3, len(text))])) {
		t.Errorf("got %q, %v; want the connection to be closed", text, err)
	}
}

func TestListen_ToldWhatIsWrong(t *testing.T) {
	for _, addr := range []string{"x", "127.0.0.1:99999", "[::1"} {
		s, err := Listen(addr, http.NotFoundHandler())
		if err == nil {
			s.Close()
			t.Errorf("%s: it listens", addr)
			continue
		}
		if text := err.Error(); strings.Count(text, addr) > 2 || !strings.Contains(text, fmt.Sprintf("listen on %q", addr)) {
			t.Errorf("%s: got %q", addr, text)
		}
	}
}
