package tests

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"

	"tokenmigrate/migrate"
	"tokenmigrate/migrate/monitor"
)

// stateMetrics are those of kube-state-metrics that alerts may ask for, with their
// labels, as its documentation has them.
var stateMetrics = map[string][]string{
	"kube_job_failed":                             {"namespace", "job_name", "condition"},
	"kube_job_complete":                           {"namespace", "job_name", "condition"},
	"kube_job_status_active":                      {"namespace", "job_name"},
	"kube_job_status_failed":                      {"namespace", "job_name", "reason"},
	"kube_job_status_start_time":                  {"namespace", "job_name"},
	"kube_job_spec_active_deadline_seconds":       {"namespace", "job_name"},
	"kube_pod_status_phase":                       {"namespace", "pod", "uid", "phase"},
	"kube_pod_owner":                              {"namespace", "pod", "uid", "owner_kind", "owner_name", "owner_is_controller"},
	"kube_pod_deletion_timestamp":                 {"namespace", "pod", "uid"},
	"kube_pod_completion_time":                    {"namespace", "pod", "uid"},
	"kube_pod_container_status_terminated_reason": {"namespace", "pod", "uid", "container", "reason"},
}

// targetLabels are what scraping gives every series of the program.
var targetLabels = []string{"namespace", "pod", "container", "instance", "job", "job_name"}

var (
	described   = regexp.MustCompile(`fqName: "([^"]+)", .*constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	labelName   = regexp.MustCompile(`([a-z_]+)=`)
	isHistogram = regexp.MustCompile(`(?m)^# TYPE (\S+) (histogram|summary)$`)
)

// programMetrics asks the program for its metrics and their labels. Histograms have
// the series that they consist of.
func programMetrics(t testing.TB) map[string][]string {
	t.Helper()
	m := monitor.New(new(migrate.Watch), monitor.Info{})
	all := map[string][]string{}
	ch := make(chan *prometheus.Desc)
	go func() { m.Describe(ch); close(ch) }()
	for d := range ch {
		found := described.FindStringSubmatch(d.String())
		if found == nil {
			t.Errorf("not understood: %s", d)
			continue
		}
		all[found[1]] = slices.DeleteFunc(strings.Split(found[3], ","), func(name string) bool { return name == "" })
		for _, constant := range labelName.FindAllStringSubmatch(found[2], -1) {
			all[found[1]] = append(all[found[1]], constant[1])
		}
	}
	answer := httptest.NewRecorder()
	m.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for _, found := range isHistogram.FindAllStringSubmatch(answer.Body.String(), -1) {
		name := found[1]
		all[name+"_bucket"] = append([]string{"le", "quantile"}, all[name]...)
		all[name+"_sum"], all[name+"_count"] = all[name], all[name]
		if found[2] == "histogram" {
			delete(all, name)
		}
	}
	if len(all) < 50 || all["tokenmigrate_calls_total"] == nil {
		t.Fatalf("only %d metrics were found", len(all))
	}
	return all
}

// queryProblems tells which of an expression's selectors ask for what does not
// exist.
func queryProblems(query string, program map[string][]string) (problems []string) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", query, err)}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		has, ours := program[selector.Name]
		has = append(slices.Clone(has), targetLabels...)
		if !ours {
			var known bool
			if has, known = stateMetrics[selector.Name]; !known {
				problems = append(problems, fmt.Sprintf("%s: there is no metric %q", query, selector.Name))
				return nil
			}
		}
		for _, m := range selector.LabelMatchers {
			if m.Name != labels.MetricName && !slices.Contains(has, m.Name) {
				problems = append(problems, fmt.Sprintf("%s: %s has no label %q, but %v", query, selector.Name, m.Name, has))
			}
		}
		return nil
	})
	return problems
}

// rules returns the alerts as Prometheus itself reads them from what the operator
// makes of the PrometheusRule.
func rules(t testing.TB) []rulefmt.Rule {
	t.Helper()
	spec, err := yaml.Marshal(render(t, overlay([]string{"monitoring"}, settings)).rule.Spec)
	must(t, err)
	groups, problems := rulefmt.Parse(spec, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, problem := range problems {
		t.Error(problem)
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func TestRules(t *testing.T) {
	program, anchors := programMetrics(t), anchors(t, "../RUNBOOK.md")
	seen := map[string]bool{}
	for _, rule := range rules(t) {
		if seen[rule.Alert] {
			t.Errorf("%s: there are two", rule.Alert)
		}
		seen[rule.Alert] = true
		for _, problem := range queryProblems(rule.Expr, program) {
			t.Errorf("%s: %s", rule.Alert, problem)
		}
		if s := rule.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: its severity is %q", rule.Alert, s)
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s: says nothing", rule.Alert)
		}
		page, anchor, _ := strings.Cut(rule.Annotations["runbook_url"], "#")
		if page != "https://git.acme.example/RUNBOOK.md" {
			t.Errorf("%s: its runbook is %q, not the one of the settings", rule.Alert, page)
		}
		if anchor != strings.ToLower(rule.Alert) || !anchors[anchor] {
			t.Errorf("%s: RUNBOOK.md has no heading for %q", rule.Alert, anchor)
		}
	}
	for _, name := range []string{
		"JobFailed", "NotStarted", "NoProgress", "ShardFailed", "Rejects", "Throttled", "OOMKilled", "StuckTerminating", "Late", "Stalled",
	} {
		if !seen["Tokenmigrate"+name] {
			t.Errorf("there is no alert Tokenmigrate%s", name)
		}
	}
}

// anchors returns what a Markdown file's headings can be linked as.
func anchors(t testing.TB, file string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	all := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(string(text), -1) {
		plain := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all[strings.ReplaceAll(strings.TrimSpace(plain), " ", "-")] = true
	}
	return all
}

// Dashboards, too, show only what there is.
func TestDashboards(t *testing.T) {
	files, err := filepath.Glob("../grafana/*.json")
	must(t, err)
	program := programMetrics(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		var dashboard any
		must(t, json.Unmarshal(text, &dashboard))
		queries := queriesOf(dashboard)
		if len(queries) == 0 {
			t.Errorf("%s: shows nothing", file)
		}
		for _, query := range queries {
			for _, problem := range queryProblems(query, program) {
				t.Errorf("%s: %s", file, problem)
			}
		}
	}
}

var (
	durations   = regexp.MustCompile(`\$(__rate_interval|__interval|__range|\{__rate_interval\}|\{__interval\}|\{__range\})`)
	labelValues = regexp.MustCompile(`^label_values\((.*), *\w+\)$`)
	resultOf    = regexp.MustCompile(`^query_result\((.*)\)$`)
)

// queriesOf finds the queries of a dashboard: its panels' expressions, and what its
// variables take their values from. Grafana's own durations become one of
// Prometheus'.
func queriesOf(node any) (queries []string) {
	add := func(v any) {
		text, ok := v.(string)
		for _, function := range []*regexp.Regexp{labelValues, resultOf} {
			if found := function.FindStringSubmatch(text); found != nil {
				text = found[1]
			}
		}
		if ok && text != "" && !strings.HasPrefix(text, "label_values(") {
			queries = append(queries, durations.ReplaceAllString(text, "5m"))
		}
	}
	switch n := node.(type) {
	case map[string]any:
		add(n["expr"])
		if n["type"] == "query" { // a variable
			add(n["definition"])
			if query, ok := n["query"].(map[string]any); ok {
				add(query["query"])
			} else {
				add(n["query"])
			}
		}
		for _, child := range n {
			queries = append(queries, queriesOf(child)...)
		}
	case []any:
		for _, child := range n {
			queries = append(queries, queriesOf(child)...)
		}
	}
	return queries
}

// What the tests above are for is noticed by them.
func TestQueryProblems(t *testing.T) {
	program := programMetrics(t)
	for query, want := range map[string]int{
		`sum by (outcome) (tokenmigrate_tokens{outcome="failed", namespace="a"})`:                   0,
		`histogram_quantile(.9, sum by (le) (rate(tokenmigrate_call_duration_seconds_bucket[5m])))`: 0,
		`rate(go_gc_duration_seconds_count[5m]) + process_cpu_seconds_total`:                        0,
		`tokenmigrate_call_duration_seconds`:                                                        1,
		`tokenmigrate_tokens_total`:                                                                 1,
		`tokenmigrate_tokens{result="failed"}`:                                                      1,
		`kube_job_status_suspended`:                                                                 1,
		`{__name__="tokenmigrate_token"}`:                                                           1,
		`rate(tokenmigrate_calls_total)`:                                                            1,
	} {
		if problems := queryProblems(query, program); len(problems) != want {
			t.Errorf("%s: got %q, want %d problems", query, problems, want)
		}
	}
	got := queriesOf(map[string]any{
		"panels":     []any{map[string]any{"targets": []any{map[string]any{"expr": "rate(a[$__rate_interval])"}}}},
		"templating": map[string]any{"list": []any{map[string]any{"type": "query", "query": map[string]any{"query": "label_values(b{c=\"$d\"}, e)"}}}},
	})
	slices.Sort(got)
	if want := []string{`b{c="$d"}`, "rate(a[5m])"}; !slices.Equal(got, want) {
		t.Errorf("got the queries %q, want %q", got, want)
	}
}
