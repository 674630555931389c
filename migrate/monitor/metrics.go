package monitor

import (
	"runtime"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"tokenmigrate/migrate"
	"tokenmigrate/migrate/report"
)

// otherConnector stands for connectors that the configuration does not name: rows
// may name any, and each would be a series.
const otherConnector = "other"

// calls are the metrics that grow with each call.
type calls struct {
	byAnswer *prometheus.CounterVec
	duration prometheus.Histogram
	tokens   prometheus.Histogram
}

func newCalls() *calls {
	c := &calls{
		byAnswer: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tokenmigrate_calls_total",
			Help: "Import calls by answer: an HTTP status or its class; timeout, connection, unreadable or cancelled where the answer was lost; not_sent.",
		}, []string{"answer"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tokenmigrate_call_duration_seconds", Help: "Time from sending an import call to its answer.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120},
		}),
		tokens: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tokenmigrate_chunk_tokens", Help: "Tokens that an import call carried.",
			Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 200, 500, 1000},
		}),
	}
	c.byAnswer.WithLabelValues("2xx") // so that rates are known from the start
	return c
}

func (c *calls) observe(call migrate.Call) {
	c.byAnswer.WithLabelValues(call.Answer).Inc()
	c.duration.Observe(call.Took.Seconds())
	c.tokens.Observe(float64(call.Tokens))
}

// registry returns the registry that /metrics serves.
func registry(w *migrate.Watch, info Info) *prometheus.Registry {
	r := prometheus.NewRegistry()
	made := newCalls()
	w.OnCall(made.observe)
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tokenmigrate_build_info", Help: "1, with the program's version.",
		ConstLabels: prometheus.Labels{"version": info.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(made.byAnswer, made.duration, made.tokens, build, newState(w, info),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// state collects what a migrate.Watch tells, at the moment it is asked.
type state struct {
	watch *migrate.Watch
	info  Info
	d     map[string]*prometheus.Desc
}

func newState(w *migrate.Watch, info Info) *state {
	s := &state{watch: w, info: info, d: make(map[string]*prometheus.Desc)}
	for _, m := range []struct {
		name, help string
		labels     []string
	}{
		{"run_info", "1, with what is run: the shard, and of how many.", []string{"migration", "mode", "shard", "shards"}},
		{"run_started_timestamp_seconds", "When the run began.", nil},
		{"tokens", "Rows of the run's walk by how they stand; the sum is the rows read. They move from pending to how they end. A later walk counts when it is completed.", []string{"outcome", "reason"}},
		{"connector_tokens", "The same by connector; connectors that the configuration does not name are together.", []string{"connector", "outcome"}},
		{"source_rows", "Rows of the source: the planner's estimate until a walk came to the end.", nil},
		{"source_rows_estimated", "1 while tokenmigrate_source_rows is an estimate.", nil},
		{"remaining_rows", "Rows that the walk has not reached.", nil},
		{"walk", "Number of the walk over the source; from the second on it looks for changed tokens.", nil},
		{"walk_open_tokens", "Changed tokens that a later walk has found and not sent yet; 0 in the first.", nil},
		{"allowed_calls_total", "Import calls that the pace allowed: those made, and those that were not made in the end.", nil},
		{"full_chunk_calls_total", "Of the allowed calls, those that carried as many tokens or bytes as one may.", nil},
		{"wasted_calls_total", "Of the allowed calls, those that brought no outcome: throttled, not answered, halved, or not made.", nil},
		{"throttled_calls_total", "Import calls that the endpoint put off.", nil},
		{"retried_calls_total", "Import calls that were repeated since their answer was lost.", nil},
		{"split_calls_total", "Chunks that were halved.", nil},
		{"resent_tokens_total", "Tokens that were sent again.", nil},
		{"pace_requests_per_minute", "Calls a minute that are allowed now.", nil},
		{"configured_pace_requests_per_minute", "Calls a minute as configured.", nil},
		{"waiting", "1 for what nobody can go on for now.", []string{"cause"}},
		{"waited_seconds_total", "Time that senders waited, all together, by cause; a wait counts when it is over.", []string{"cause"}},
		{"reader_ahead_rows", "Rows that are read and not sent yet.", nil},
		{"reader_oldest_row_age_seconds", "How long ago the oldest row was read that is being sent; 0: none is.", nil},
		{"lease_held", "1 while the shard's lease is held.", nil},
		{"lease_age_seconds", "How long ago the lease was renewed.", nil},
		{"lease_remaining_seconds", "How long the lease holds unless renewed.", nil},
		{"last_progress_timestamp_seconds", "When anything last moved, or was knowingly waited for (the pace, an operator, a database); absent before the first.", nil},
		{"last_success_timestamp_seconds", "When an import was last recorded; absent before the first.", nil},
		{"ready", "1 while /readyz says so.", nil},
	} {
		s.d[m.name] = prometheus.NewDesc("tokenmigrate_"+m.name, m.help, m.labels, nil)
	}
	return s
}

// Describe tells what Collect may bring.
func (s *state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range s.d {
		ch <- d
	}
}

// Collect brings the metrics as they are now.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	n := s.watch.Now()
	gauge := func(name string, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(s.d[name], prometheus.GaugeValue, v, labels...)
	}
	counter := func(name string, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(s.d[name], prometheus.CounterValue, v, labels...)
	}
	r := n.Report
	gauge("ready", one(n.Ready() == nil))
	for _, cause := range migrate.WaitCauses() {
		gauge("waiting", one(n.Waiting == cause), cause)
	}
	if !n.Begun {
		return
	}
	gauge("run_info", 1, s.info.Migration, r.Mode, strconv.Itoa(s.info.Shard), strconv.Itoa(max(s.info.Shards, 1)))
	gauge("run_started_timestamp_seconds", float64(r.StartedAt.UnixMilli())/1000)
	for _, part := range byReason(r) {
		gauge("tokens", float64(part.rows), part.outcome, part.reason)
	}
	s.connectors(r, gauge)
	gauge("source_rows", float64(n.Total))
	gauge("source_rows_estimated", one(n.Estimated))
	gauge("remaining_rows", float64(r.Remaining.Rows))
	gauge("reader_ahead_rows", float64(n.Ahead))
	if !n.LastProgress.IsZero() {
		gauge("last_progress_timestamp_seconds", float64(n.LastProgress.UnixMilli())/1000)
	}
	if r.Mode == "dry-run" {
		return
	}
	walk := report.Walk{Number: 1}
	if r.Walk != nil {
		walk = *r.Walk
	}
	gauge("walk", float64(walk.Number))
	gauge("walk_open_tokens", float64(walk.Open))
	sent(&r.Calls, counter)
	gauge("pace_requests_per_minute", r.Pace.Current)
	gauge("configured_pace_requests_per_minute", r.Pace.RequestsPerMinute)
	for _, cause := range migrate.WaitCauses() {
		counter("waited_seconds_total", waited(r, cause), cause)
	}
	gauge("reader_oldest_row_age_seconds", n.OldestSent.Seconds())
	gauge("lease_held", one(n.LeaseHeld))
	gauge("lease_age_seconds", n.LeaseAge.Seconds())
	gauge("lease_remaining_seconds", n.LeaseLeft.Seconds())
	if !n.LastSuccess.IsZero() {
		gauge("last_success_timestamp_seconds", float64(n.LastSuccess.UnixMilli())/1000)
	}
}

// sent brings what the calls were spent on.
func sent(c *report.Calls, counter func(string, float64, ...string)) {
	counter("allowed_calls_total", float64(c.Allowed))
	counter("full_chunk_calls_total", float64(c.Full))
	counter("wasted_calls_total", float64(c.Wasted))
	counter("throttled_calls_total", float64(c.Throttled))
	counter("retried_calls_total", float64(c.Retried))
	counter("split_calls_total", float64(c.Split))
	counter("resent_tokens_total", float64(c.ResentTokens))
}

// waited returns the time waited for a cause, which the report writes with
// spaces.
func waited(r *report.Report, cause string) float64 {
	sum := 0.0
	for words, s := range r.Calls.WaitedSeconds {
		if migrate.WaitCause(words) == cause {
			sum += s
		}
	}
	return sum
}

// connectors brings the counts by connector.
func (s *state) connectors(r *report.Report, gauge func(string, float64, ...string)) {
	sums := make(map[string]*report.Counts)
	for _, name := range append(slices.Clone(s.info.Connectors), otherConnector) {
		sums[name] = new(report.Counts)
	}
	for _, c := range r.Connectors {
		sum, ok := sums[c.Connector]
		if !ok {
			sum = sums[otherConnector]
		}
		sum.Add(c.Counts)
	}
	for name, sum := range sums {
		for _, o := range outcomesOf(*sum) {
			gauge("connector_tokens", float64(o.rows), name, o.outcome)
		}
	}
}

// part is a number of rows that stand alike.
type part struct {
	outcome, reason string
	rows            int64
}

func outcomesOf(c report.Counts) []part {
	return []part{
		{"imported", "", c.Imported}, {"unchanged", "", c.Unchanged}, {"failed", "", c.Failed}, {"invalid", "", c.Invalid},
		{"skipped", "", c.Skipped}, {"unknown", "", c.Unknown}, {"pending", "", c.Pending},
	}
}

// byReason splits the counts by reason. What has none stands under the empty one;
// the reasons that every migration may have are there with 0, too.
func byReason(r *report.Report) []part {
	rest := outcomesOf(r.Counts)
	codes := report.Reasons()
	for code := range r.Reasons {
		if !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	var parts []part
	for _, code := range codes {
		p := part{report.Explain(code).Outcome, code, r.Reasons[code]}
		parts = append(parts, p)
		for i := range rest {
			if rest[i].outcome == p.outcome {
				rest[i].rows -= p.rows
			}
		}
	}
	return append(parts, rest...)
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
