package tests

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// now is when alerts are evaluated.
var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// ago returns a timestamp as metrics have them.
func ago(d time.Duration) float64 { return float64(now.Add(-d).Unix()) }

// series are what Prometheus knows: a value that a metric has had for an hour, or,
// of several, for equal parts of it.
type series map[string][]float64

// querier lets an engine ask for them.
func (all series) querier(t testing.TB) storage.Queryable {
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
			found := &seriesSet{}
			for name, values := range all {
				metric, err := parser.NewParser(parser.Options{}).ParseMetric(name)
				must(t, err)
				if !matches(metric, matchers) {
					continue
				}
				known := promql.Series{Metric: metric}
				for second := -3600; second <= 0; second += 15 {
					i := min((second+3600)*len(values)/3600, len(values)-1)
					if !math.IsNaN(values[i]) { // else it was not there
						known.Floats = append(known.Floats, promql.FPoint{T: now.Add(time.Duration(second) * time.Second).UnixMilli(), F: values[i]})
					}
				}
				found.all = append(found.all, promql.NewStorageSeries(known))
			}
			return found
		},
	}}
}

func matches(metric labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(metric.Get(m.Name)) {
			return false
		}
	}
	return true
}

// seriesSet goes through several series.
type seriesSet struct {
	all  []storage.Series
	next int
}

func (s *seriesSet) Next() bool                        { s.next++; return s.next <= len(s.all) }
func (s *seriesSet) At() storage.Series                { return s.all[s.next-1] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// firing returns the labels of what fires now. How long it has to be so is not
// looked at.
func firing(t testing.TB, alert string, known series) []string {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{
		Logger: slog.New(slog.DiscardHandler), MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute,
		Parser: parser.NewParser(parser.Options{}),
	})
	defer func() { must(t, engine.Close()) }()
	for _, rule := range rules(t) {
		if rule.Alert != alert {
			continue
		}
		query, err := engine.NewInstantQuery(context.Background(), known.querier(t), nil, rule.Expr, now)
		must(t, err)
		defer query.Close()
		result := query.Exec(context.Background())
		must(t, result.Err)
		vector, err := result.Vector()
		must(t, err)
		var found []string
		for _, sample := range vector {
			found = append(found, strings.ReplaceAll(sample.Metric.String(), `"`, ""))
		}
		return found
	}
	t.Fatalf("there is no alert %s", alert)
	return nil
}

// jobSeries writes a series that kube-state-metrics has of one Job.
func jobSeries(name, more string) string {
	return fmt.Sprintf(`%s{namespace="a", job_name="tokenmigrate-acme-1"%s}`, name, more)
}

// podSeries writes a series that one of its workers has itself.
func podSeries(name, more string) string {
	return fmt.Sprintf(`%s{namespace="a", job_name="tokenmigrate-acme-1", pod="tokenmigrate-acme-1-0-x"%s}`, name, more)
}

// statePod writes a series that kube-state-metrics has of that worker's pod.
func statePod(name, more string) string {
	return fmt.Sprintf(`%s{namespace="a", pod="tokenmigrate-acme-1-0-x", uid="u"%s}`, name, more)
}

const (
	firingJob = `{job_name=tokenmigrate-acme-1, namespace=a}`
	firingPod = `{job_name=tokenmigrate-acme-1, namespace=a, pod=tokenmigrate-acme-1-0-x}`
)

// with joins series.
func with(all ...series) series {
	joined := series{}
	for _, s := range all {
		for name, values := range s {
			joined[name] = values
		}
	}
	return joined
}

func one(name string, values ...float64) series { return series{name: values} }

func TestAlerts(t *testing.T) {
	running := with(one(jobSeries("kube_job_status_start_time", ""), ago(time.Hour)), one(jobSeries("kube_job_status_active", ""), 1),
		one(jobSeries("kube_job_spec_active_deadline_seconds", ""), 36000), one(jobSeries("kube_job_status_failed", ""), 0))
	idle := with(running, one(jobSeries("kube_job_status_active", ""), 0))
	failed := with(idle, one(jobSeries("kube_job_failed", `, condition="true"`), 1), one(jobSeries("kube_job_failed", `, condition="false"`), 0))
	finished := with(idle, one(jobSeries("kube_job_complete", `, condition="true"`), 1))
	suspended := with(one(jobSeries("kube_job_status_active", ""), 0), one(jobSeries("kube_job_status_start_time", ""), ago(time.Hour), ago(time.Hour), math.NaN()))
	pendingPod := with(running, one(statePod("kube_pod_status_phase", `, phase="Pending"`), 1), one(statePod("kube_pod_status_phase", `, phase="Running"`), 0),
		one(statePod("kube_pod_owner", `, owner_kind="Job", owner_name="tokenmigrate-acme-1"`), 1))
	foreign := one(`kube_pod_status_phase{namespace="a", pod="other", uid="v", phase="Pending"}`, 1)
	progress := func(d time.Duration) series {
		return one(podSeries("tokenmigrate_last_progress_timestamp_seconds", ""), ago(d))
	}
	waits := func(cause string, values ...float64) series {
		return one(podSeries("tokenmigrate_waiting", fmt.Sprintf(`, cause=%q`, cause)), values...)
	}
	tokens := func(imported, bad, unknown float64) series {
		return with(one(podSeries("tokenmigrate_tokens", `, outcome="imported", reason=""`), imported),
			one(podSeries("tokenmigrate_tokens", `, outcome="invalid", reason="missing_expiry"`), bad),
			one(podSeries("tokenmigrate_tokens", `, outcome="unknown", reason="in_doubt"`), unknown))
	}
	oom := one(statePod("kube_pod_container_status_terminated_reason", `, container="worker", reason="OOMKilled"`), 1)
	for _, c := range []struct {
		alert, when string
		known       series
		fires       string
	}{
		{"JobFailed", "failed", failed, firingJob},
		{"JobFailed", "running", running, ""},
		{"JobFailed", "finished", finished, ""},
		{"JobFailed", "a check failed", one(`kube_job_failed{namespace="a", job_name="tokenmigrate-check-acme-1", condition="true"}`, 1), ""},
		{"JobFailed", "a rehearsal failed", one(`kube_job_failed{namespace="a", job_name="tokenmigrate-dry-run", condition="true"}`, 1), ""},
		{"JobFailed", "another Job failed", one(`kube_job_failed{namespace="a", job_name="backup", condition="true"}`, 1), ""},
		{"NotStarted", "resumed, and no pod", idle, firingJob},
		{"NotStarted", "a pod that does not start", with(pendingPod, foreign), firingJob},
		{"NotStarted", "running", running, ""},
		{"NotStarted", "suspended", suspended, ""},
		{"NotStarted", "finished", finished, ""},
		{"NotStarted", "failed", failed, ""},
		{"ShardFailed", "a pod failed", with(running, one(jobSeries("kube_job_status_failed", `, reason=""`), 1)), firingJob},
		{"ShardFailed", "none did", running, ""},
		{"ShardFailed", "the Job failed", with(failed, one(jobSeries("kube_job_status_failed", `, reason=""`), 1)), ""},
		{"ShardFailed", "and the Job finished", with(finished, one(jobSeries("kube_job_status_failed", `, reason=""`), 1)), ""},
		{"Late", "a tenth of its deadline", running, ""},
		{"Late", "half of its deadline", with(running, one(jobSeries("kube_job_status_start_time", ""), ago(5*time.Hour))), firingJob},
		{"Late", "finished then", with(finished, one(jobSeries("kube_job_status_start_time", ""), ago(5*time.Hour))), ""},
		{"Late", "failed then", with(failed, one(jobSeries("kube_job_status_start_time", ""), ago(5*time.Hour))), ""},
		{"Late", "suspended", suspended, ""},
		{"OOMKilled", "just now", with(oom, one(statePod("kube_pod_completion_time", ""), ago(time.Minute))), `{container=worker, namespace=a, pod=tokenmigrate-acme-1-0-x}`},
		{"OOMKilled", "yesterday", with(oom, one(statePod("kube_pod_completion_time", ""), ago(24*time.Hour))), ""},
		{"OOMKilled", "another end", with(one(statePod("kube_pod_container_status_terminated_reason", `, container="worker", reason="Error"`), 1), one(statePod("kube_pod_completion_time", ""), ago(time.Minute))), ""},
		{"StuckTerminating", "in its grace period", one(statePod("kube_pod_deletion_timestamp", ""), ago(-time.Minute)), ""},
		{"StuckTerminating", "long after it", one(statePod("kube_pod_deletion_timestamp", ""), ago(10*time.Minute)), `{namespace=a, pod=tokenmigrate-acme-1-0-x}`},
		{"NoProgress", "lately", with(progress(time.Minute), waits("pace", 1)), ""},
		{"NoProgress", "long ago", with(progress(20*time.Minute), waits("endpoint", 1)), firingPod},
		{"NoProgress", "long ago, paused", with(progress(20*time.Minute), waits("endpoint", 0), waits("paused", 1)), ""},
		{"Stalled", "lately", with(progress(time.Minute), waits("pace", 0)), ""},
		{"Stalled", "a while ago", with(progress(6*time.Minute), waits("pace", 0), waits("endpoint", 0)), firingPod},
		{"Stalled", "a while ago, and it waits", with(progress(6*time.Minute), waits("pace", 0), waits("endpoint", 1)), ""},
		{"Rejects", "one in fifty", tokens(980, 20, 0), firingPod},
		{"Rejects", "half of them unknown", tokens(980, 10, 10), firingPod},
		{"Rejects", "one in two hundred", tokens(995, 5, 0), ""},
		{"Rejects", "of too few to tell", tokens(48, 2, 0), ""},
		{"Throttled", "most of the time", waits("throttled", 0, 0, 1, 0, 1, 1, 1, 1), firingPod},
		{"Throttled", "now and then", waits("throttled", 0, 0, 0, 0, 1, 0, 0, 0), ""},
		{"Throttled", "its own pace", waits("pace", 1), ""},
	} {
		got := strings.Join(firing(t, "Tokenmigrate"+c.alert, c.known), " ")
		if got != c.fires {
			t.Errorf("%s, %s: fires for %q, want %q", c.alert, c.when, got, c.fires)
		}
	}
}
