package monitor

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tokenmigrate/migrate"
)

// dashboard is what is looked at of deploy/grafana/tokenmigrate.json.
type dashboard struct {
	UID, Title    string
	SchemaVersion int `json:"schemaVersion"`
	Panels        []panel
	Templating    struct {
		List []struct {
			Name, Type, Definition string
			Datasource             datasource
		}
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               datasource
	GridPos                  struct{ X, Y, W, H int } `json:"gridPos"`
	Targets                  []struct {
		RefID, Expr string
		Datasource  datasource
	}
}

type datasource struct{ Type, UID string }

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/tokenmigrate.json")
	if err != nil {
		t.Fatal(err)
	}
	d := new(dashboard)
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Grafana wants ids that differ and panels that do not overlap; whoever imports
// the dashboard has a data source of another name.
func TestDashboard_IsWellFormed(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 39 || len(d.Panels) == 0 {
		t.Errorf("got uid %q, title %q, schema %d, %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.ID <= 0 || ids[p.ID] {
			t.Errorf("%s: the id %d is taken, or none", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.W < 1 || p.GridPos.H < 1 || p.GridPos.X < 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s: does not fit into the grid: %+v", p.Title, p.GridPos)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s and %s overlap", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("%s: wants a description and a query", p.Title)
		}
		chosen := datasource{"prometheus", "${datasource}"}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if refs[q.RefID] || q.Datasource != chosen || p.Datasource != chosen {
				t.Errorf("%s: query %s: wants a name of its own, and the data source that is chosen", p.Title, q.RefID)
			}
			refs[q.RefID] = true
		}
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, " "); got != "datasource job migration mode" {
		t.Errorf("variables: got %s", got)
	}
}

// Every query is about metrics that exist, with labels that they have, and about
// the migration that is chosen.
func TestDashboard_KnowsTheMetrics(t *testing.T) {
	labels := registeredLabels(t)
	metric := regexp.MustCompile(`\b((?:tokenmigrate|go|process)_\w+)(?:\{([^}]*)\})?`)
	label := regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	used := map[string]bool{}
	check := func(where, text string) {
		for _, m := range metric.FindAllStringSubmatch(text, -1) {
			known, ok := labels[m[1]]
			if !ok {
				t.Errorf("%s: no such metric: %s", where, m[1])
			}
			used[m[1]] = true
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if l[1] != "job" && !known[l[1]] {
					t.Errorf("%s: %s has no label %s", where, m[1], l[1])
				}
			}
		}
	}
	d := readDashboard(t)
	for _, v := range d.Templating.List {
		check("variable "+v.Name, v.Definition)
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			check(p.Title, q.Expr)
			if !strings.Contains(q.Expr, `migration=~"$migration"`) {
				t.Errorf("%s: shows other migrations, too", p.Title)
			}
		}
	}
	for name := range labels {
		if strings.HasPrefix(name, "tokenmigrate_") && !used[name] && !unseen[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// unseen are metrics that no panel needs.
var unseen = map[string]bool{
	"tokenmigrate_source_rows_estimated": true, // the description of the share that is done says it
	"tokenmigrate_lease_age_seconds":     true, // the time that is left tells more
	// It tells a stalled worker from one that waits, which alerts do.
	"tokenmigrate_last_progress_timestamp_seconds": true,
	// Parts of histograms, of which other parts are shown.
	"tokenmigrate_call_duration_seconds_sum": true, "tokenmigrate_call_duration_seconds_count": true, "tokenmigrate_chunk_tokens_bucket": true,
}

// registeredLabels returns the labels of each series that the program may bring.
func registeredLabels(t *testing.T) map[string]map[string]bool {
	t.Helper()
	registered := registry(new(migrate.Watch), Info{})
	families, err := registered.Gather()
	if err != nil {
		t.Fatal(err)
	}
	histograms := map[string]bool{}
	for _, f := range families {
		histograms[f.GetName()] = f.GetType().String() == "HISTOGRAM"
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		registered.Describe(descs)
	}()
	form := regexp.MustCompile(`fqName: "([^"]+)".*constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)
	all := map[string]map[string]bool{}
	for d := range descs {
		m := form.FindStringSubmatch(d.String())
		known := map[string]bool{"le": true}
		for _, name := range regexp.MustCompile(`\w+`).FindAllString(regexp.MustCompile(`="[^"]*"`).ReplaceAllString(m[2], "")+","+m[3], -1) {
			known[name] = true
		}
		if !histograms[m[1]] {
			all[m[1]] = known
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			all[m[1]+suffix] = known
		}
	}
	return all
}
