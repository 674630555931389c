package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tokenmigrate/migrate"
	"tokenmigrate/migrate/report"
)

// Info is what does not change while a run goes on.
type Info struct {
	Version    string // of the program
	Migration  string
	Shard      int
	Shards     int      // of how many it is one; 0: one
	Connectors []string // as configured; only these are told apart in metrics
}

// refresh is how often the live page loads itself anew.
const refresh = 5 * time.Second

// Bounds of what a client may take.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second
	answerTimeout  = 30 * time.Second
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
	closeTimeout   = 2 * time.Second
)

// Monitor answers requests about one run. It is safe for concurrent use.
type Monitor struct {
	watch   *migrate.Watch
	metrics *prometheus.Registry
	mux     *http.ServeMux
	looked  atomic.Int64 // when the page was last served, in nanoseconds
}

// New returns a monitor of the run that watch looks at, which must not have
// begun.
func New(watch *migrate.Watch, info Info) *Monitor {
	all := registry(watch, info)
	m := &Monitor{watch: watch, metrics: all, mux: http.NewServeMux()}
	m.mux.Handle("/metrics", promhttp.HandlerFor(all, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: requestTimeout}))
	m.mux.HandleFunc("/healthz", m.health)
	m.mux.HandleFunc("/readyz", m.ready)
	m.mux.HandleFunc("/{$}", m.page)
	return m
}

// ServeHTTP answers GET and HEAD; anything else is refused.
func (m *Monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "only to be read: use GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	m.mux.ServeHTTP(w, r)
}

// Describe tells all metrics that /metrics may serve, those too that are absent
// before the run has begun or in a dry run: what alerts and dashboards may ask for.
func (m *Monitor) Describe(ch chan<- *prometheus.Desc) { m.metrics.Describe(ch) }

// health says that the process is alive.
func (m *Monitor) health(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// ready says whether the work can go on, and if not, why.
func (m *Monitor) ready(w http.ResponseWriter, _ *http.Request) {
	n := m.watch.Now()
	if err := n.Ready(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// page is the live report. That of a run that is over stays as it is.
func (m *Monitor) page(w http.ResponseWriter, _ *http.Request) {
	var page bytes.Buffer // whole or not at all
	n := m.watch.Now()
	o := report.HTMLOptions{Refresh: refresh, AsOf: time.Now()}
	if n.Over {
		o = report.HTMLOptions{}
	}
	m.looked.Store(time.Now().UnixNano())
	if err := n.Report.WriteHTML(&page, o); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page.Bytes())
}

// Linger waits for as long as pages that are open take to load themselves once
// more, so that they show how the run ended and not that nothing answers. Where
// nobody has a page open, the run has not ended, or ctx has, it returns at once.
func (m *Monitor) Linger(ctx context.Context) {
	const once = refresh + time.Second
	if n := m.watch.Now(); !n.Over || time.Since(time.Unix(0, m.looked.Load())) > once {
		return
	}
	timer := time.NewTimer(once)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Server serves a handler until it is closed.
type Server struct {
	http     *http.Server
	listener net.Listener
	over     sync.WaitGroup
}

// Listen binds addr ("HOST:PORT", ":PORT" for all interfaces, port 0 for any) and
// serves h there, from when it returns.
func Listen(addr string, h http.Handler) (*Server, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) { // which says "listen tcp" and the address again
			err = op.Err
		}
		return nil, fmt.Errorf("listen on %q: %w; give HOST:PORT or :PORT that is free, such as :9090", addr, err)
	}
	s := &Server{listener: l, http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       log.New(io.Discard, "", 0), // what clients do wrong is not ours to tell
	}}
	s.over.Go(func() { _ = s.http.Serve(l) })
	return s, nil
}

// Addr returns where it listens: "127.0.0.1:9090".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close lets requests under way finish, for a moment, and returns when nothing is
// served any more.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	s.over.Wait()
}
