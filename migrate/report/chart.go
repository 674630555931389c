package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// chart is one with bars, drawn as SVG: groups below each other, each with a
// label and its bars. Widths are percentages, so that texts keep their size at
// any width of the page.
type chart struct {
	ID, Title, Desc string
	Height          int
	Groups          []barGroup
	Legend          []legend
	Data            data
}

type barGroup struct {
	Label string
	Y     int
	Bars  []bar
}

type bar struct {
	Class, Width, Title, Value string
	Y, TextY                   int
	amount                     float64
}

type legend struct{ Class, Title string }

// data is the table behind a chart.
type data struct {
	ID, Caption string
	Header      []string
	Rows        [][]string
}

// chartPart is a chart with words before it.
type chartPart struct {
	Words string
	Chart *chart
}

// widest is the share of the width that the longest bar takes, in percent; values
// stand behind it.
const widest = 76

// layout places the bars. One whose amount is not zero is always seen.
func (c *chart) layout() *chart {
	most := 0.0
	for _, g := range c.Groups {
		for _, b := range g.Bars {
			most = max(most, b.amount)
		}
	}
	y := 0
	for i := range c.Groups {
		g := &c.Groups[i]
		g.Y = y + 15
		y += 22
		for j := range g.Bars {
			b := &g.Bars[j]
			b.Y, b.TextY = y, y+12
			if b.amount > 0 {
				b.Width = percent(max(widest*b.amount/most, 0.5))
			}
			y += 18
		}
		y += 12
	}
	c.Height = max(y-8, 1)
	return c
}

func percent(f float64) string {
	return strconv.FormatFloat(math.Round(f*1000)/1000, 'f', -1, 64) + "%"
}

func (r *Report) expiryPart() *chartPart {
	if len(r.Expiry) == 0 {
		return nil
	}
	c := &chart{
		ID: "expiry", Title: "Tokens to be sent, by when their access token expires",
		Legend: []legend{{"pending", "with refresh token"}, {"invalid", "without"}},
		Data:   data{ID: "expiry-data", Caption: "Tokens to be sent, by when their access token expires", Header: []string{"Expires", "With refresh token", "Without"}},
	}
	var desc []string
	for _, e := range r.spans() {
		label := sentence(spanTitle(outside(e.UpTo, maxName)))
		if e.UpTo == "run" {
			label += " (" + duration(r.Projection.Seconds) + ")"
		}
		c.Groups = append(c.Groups, barGroup{Label: label, Bars: []bar{
			{Class: "pending", Value: number(e.WithRefresh), Title: number(e.WithRefresh) + " with refresh token", amount: float64(e.WithRefresh)},
			{Class: "invalid", Value: number(e.WithoutRefresh), Title: number(e.WithoutRefresh) + " without", amount: float64(e.WithoutRefresh)},
		}})
		c.Data.Rows = append(c.Data.Rows, []string{label, number(e.WithRefresh), number(e.WithoutRefresh)})
		desc = append(desc, fmt.Sprintf("%s: %s with refresh token, %s without", strings.ToLower(label), number(e.WithRefresh), number(e.WithoutRefresh)))
	}
	c.Desc = strings.Join(desc, "; ") + "."
	return &chartPart{r.expiryWords(), c.layout()}
}

func (r *Report) expiryWords() string {
	text := "A token that dies before it is sent is a user who must consent again. "
	took := duration(r.Projection.Seconds)
	if n := r.dying(); n > 0 {
		text += fmt.Sprintf("That may happen to %s without refresh token, which expire while the run goes on, for about %s. Larger chunks make it shorter. ", count(n, "token"), took)
	} else {
		text += fmt.Sprintf("None is in danger: no token without refresh token expires while the run goes on, for about %s. ", took)
	}
	for _, e := range r.Expiry {
		if e.UpTo == "expired" && e.WithoutRefresh > 0 {
			text += fmt.Sprintf("%s dead already and would be sent all the same, as policy.expired says. ", are(e.WithoutRefresh, "token"))
		}
	}
	return text + "Those with a refresh token live on: Connect gets them a new access token."
}

func (r *Report) projectionPart() *chartPart {
	p := r.Projection
	if len(p.ByChunkTokens) == 0 {
		return nil
	}
	c := &chart{
		ID: "time", Title: "Time by how many tokens a call carries",
		Legend: []legend{{"pending", "as configured"}, {"unchanged", "with another send.chunk_tokens"}},
		Data:   data{ID: "time-data", Caption: "Calls and time by how many tokens a call carries", Header: []string{"Tokens a call", "Calls", sentence(r.timeTitle())}},
	}
	var desc []string
	for _, by := range p.ByChunkTokens {
		label, class := fmt.Sprintf("%s a call: %s", count(int64(by.ChunkTokens), "token"), count(by.Calls, "call")), "unchanged"
		row := strconv.Itoa(by.ChunkTokens)
		if by.ChunkTokens == p.ChunkTokens {
			class, row = "pending", row+" (as configured)"
		}
		took := duration(by.Seconds)
		c.Groups = append(c.Groups, barGroup{Label: label, Bars: []bar{{Class: class, Value: took, Title: took, amount: by.Seconds}}})
		c.Data.Rows = append(c.Data.Rows, []string{row, number(by.Calls), took})
		desc = append(desc, label+" in "+took)
	}
	c.Desc = strings.Join(desc, "; ") + "."
	text := fmt.Sprintf("%s would take %s: about %s, %s.", count(r.Counts.Pending, "token"), count(p.Calls, "call"), duration(p.Seconds), cmp.Or(r.paceWords(), "at the configured pace"))
	return &chartPart{text + " " + r.chunkWords(), c.layout()}
}

// stackPart is one segment of the stacked bar.
type stackPart struct{ Class, X, Width, Title string }

type countsPart struct {
	Words string // "1,234 rows read"
	Read  string
	Parts []countPart
	Stack []stackPart
	Desc  string
	Notes []string
	Rows  []countRow
}

type countPart struct{ Name, Title, Number, Share string }

type countRow struct {
	Connector, Environment, Read string
	Cells                        []string
}

func (r *Report) countsPart() countsPart {
	c := countsPart{Words: count(r.Counts.Read, "row") + " read", Read: number(r.Counts.Read)}
	present := r.present()
	var words []string
	for _, o := range present {
		n := o.of(r.Counts)
		c.Parts = append(c.Parts, countPart{o.Name, o.Title, number(n), share(n, r.Counts.Read)})
		words = append(words, number(n)+" "+o.Title)
	}
	if len(present) > 0 {
		c.Desc = c.Words + ": " + strings.Join(words, ", ") + "."
	}
	c.Stack = stack(present, r.Counts)
	row := func(connector, environment string, k Counts) {
		line := countRow{Connector: connector, Environment: environment, Read: number(k.Read)}
		for _, o := range present {
			line.Cells = append(line.Cells, number(o.of(k)))
		}
		c.Rows = append(c.Rows, line)
	}
	shown, others := r.largest(maxPlaces)
	for _, p := range shown {
		row(outside(cmp.Or(p.Connector, "(none)"), maxName), outside(cmp.Or(p.Environment, "-"), maxName), p.Counts)
	}
	if n := len(r.Connectors) - len(shown); n > 0 {
		row(fmt.Sprintf("%s others", number(int64(n))), "-", others)
	}
	if r.Remaining.Rows > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("About %s were not reached.", count(r.Remaining.Rows, "row")))
	}
	if r.Mode == "dry-run" && r.Counts.Unchanged > 0 {
		c.Notes = append(c.Notes, "Unchanged rows were imported by an earlier run and are not sent again.")
	}
	return c
}

// stack gives each outcome its width of the bar; the smallest is still seen.
func stack(present []outcome, counts Counts) []stackPart {
	var parts []stackPart
	const least = 1.5
	scale, sum := 0.0, 0.0
	for _, o := range present {
		scale += max(100*float64(o.of(counts))/float64(counts.Read), least)
	}
	for _, o := range present {
		n := o.of(counts)
		width := max(100*float64(n)/float64(counts.Read), least) * 100 / scale
		parts = append(parts, stackPart{o.Name, percent(sum), percent(width), fmt.Sprintf("%s: %s (%s)", o.Title, number(n), share(n, counts.Read))})
		sum += width
	}
	return parts
}

// largest returns the n connectors with the most rows, in their own order, and
// the sum of the others.
func (r *Report) largest(n int) (shown []Connector, others Counts) {
	if len(r.Connectors) <= n {
		return r.Connectors, Counts{}
	}
	by := make([]int, len(r.Connectors))
	for i := range by {
		by[i] = i
	}
	slices.SortStableFunc(by, func(a, b int) int { return cmp.Compare(r.Connectors[b].Read, r.Connectors[a].Read) })
	for _, i := range by[n:] {
		others.Add(r.Connectors[i].Counts)
	}
	top := by[:n]
	slices.Sort(top)
	for _, i := range top {
		shown = append(shown, r.Connectors[i])
	}
	return shown, others
}
