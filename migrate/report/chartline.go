package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// progressPart is what a run did: how it went on, what it repeated, what it
// waited for.
type progressPart struct {
	Words string
	// Budget is how the calls were spent that the pace allowed; empty: not known.
	Budget string
	Line   *lineChart // nil: fewer than two points are known
	Sent   []string
	Waits  *chart
}

type lineChart struct {
	Desc   string
	Grid   []gridLine
	Area   string
	Curves []curve
	Events []event
	Times  []timeLabel
	Data   data
}

type (
	gridLine  struct{ Y, TextY, Label string }
	curve     struct{ Class, Path, Title string }
	event     struct{ X, Title string }
	timeLabel struct{ X, Anchor, Label string }
)

func (r *Report) progressPart() *progressPart {
	c := r.Calls
	p := &progressPart{Line: r.lineChart()}
	p.Words = fmt.Sprintf("%s carried %s", count(c.Made, "call"), count(c.Tokens, "token"))
	if words := r.paceWords(); words != "" {
		p.Words += ", " + words
	}
	p.Words += "."
	if b, ok := c.budget(); ok {
		p.Budget = sentence(b.words()) + "."
		if b.Wasted > 0 {
			p.Budget += " Such a call was throttled, not answered, halved, or not made in the end."
		}
	}
	if p.Line == nil {
		p.Words += " It was too short, or has only begun, to be drawn over time."
	}
	add := func(n int64, one, many string) {
		switch {
		case n == 1:
			p.Sent = append(p.Sent, one)
		case n > 1:
			p.Sent = append(p.Sent, fmt.Sprintf(many, number(n)))
		}
	}
	add(c.Throttled, "One call was throttled: the endpoint asked for patience, nothing was imported by it, and its tokens were sent later.",
		"%s calls were throttled: the endpoint asked for patience, nothing was imported by them, and their tokens were sent later.")
	add(c.Retried, "One call was repeated after an error or a lost answer.", "%s calls were repeated after an error or a lost answer.")
	add(c.Split, "One chunk was halved: it was too large, or a token in it made the endpoint refuse the whole call.",
		"%s chunks were halved: they were too large, or a token in them made the endpoint refuse the whole call.")
	add(c.ResentTokens, "One token was sent again, as its first answer never came or did not name it.",
		"%s tokens were sent again, as their first answer never came or did not name them.")
	if len(p.Sent) == 0 && c.Made > 0 {
		p.Sent = []string{"Nothing: no call was throttled or repeated, and no token was sent twice."}
		// A row that changed is sent again without any of these; then the calls
		// carried more tokens than have an answer.
		if c.Tokens > r.Counts.Imported+r.Counts.Failed+r.Counts.Unknown {
			p.Sent = []string{"No call was throttled or repeated."}
		}
	}
	if waits := r.waits(); len(waits) > 0 {
		p.Waits = &chart{ID: "waits", Title: "Time waited, by cause",
			Data: data{ID: "waits-data", Caption: "Time waited, by cause, of all senders together", Header: []string{"Waited", "Time"}}}
		var desc []string
		for _, w := range waits[:min(len(waits), 20)] {
			label, took := sentence(outside(w.Cause, maxName)), duration(w.Seconds)
			p.Waits.Groups = append(p.Waits.Groups, barGroup{Label: label, Bars: []bar{{Class: "unchanged", Value: took, Title: took, amount: w.Seconds}}})
			p.Waits.Data.Rows = append(p.Waits.Data.Rows, []string{label, took})
			desc = append(desc, label+" "+took)
		}
		p.Waits.Desc = strings.Join(desc, "; ") + "."
		p.Waits.layout()
	}
	return p
}

// plotTop and plotHeight are where the curves lie in the chart, in pixels.
const plotTop, plotHeight = 24, 216

func (r *Report) lineChart() *lineChart {
	points := r.Progress
	if len(points) > MaxProgress {
		points = points[len(points)-MaxProgress:]
	}
	if len(points) < 2 || points[len(points)-1].Seconds <= 0 {
		return nil
	}
	last := points[len(points)-1]
	most := int64(1)
	for _, p := range points {
		most = max(most, p.Done, p.Imported)
	}
	top := roundUp(most)
	x := func(p ProgressPoint) float64 { return 1000 * min(max(p.Seconds/last.Seconds, 0), 1) }
	path := func(value func(ProgressPoint) int64) string {
		var b strings.Builder
		for i, p := range points {
			b.WriteString([]string{"M", "L"}[min(i, 1)])
			b.WriteString(coordinate(x(p)) + " " + coordinate(1000-1000*float64(max(value(p), 0))/top))
		}
		return b.String()
	}
	done := path(func(p ProgressPoint) int64 { return p.Done })
	c := &lineChart{
		Desc: fmt.Sprintf("%s done and %s imported after %s, with %s, of which %s throttled.",
			count(last.Done, "row"), number(last.Imported), duration(last.Seconds), count(last.Calls, "call"), number(last.Throttled)),
		Area: done + "L1000 1000L" + coordinate(x(points[0])) + " 1000Z",
		Curves: []curve{
			{"pending", done, "rows done"},
			{"imported", path(func(p ProgressPoint) int64 { return p.Imported }), "imported"},
		},
		Times: []timeLabel{{"0%", "start", "0s"}, {"50%", "middle", duration(last.Seconds / 2)}, {"100%", "end", duration(last.Seconds)}},
		Data:  data{ID: "progress-data", Caption: "Progress over time; all counts are since the start", Header: []string{"After", "Rows done", "Imported", "Calls", "Throttled"}},
	}
	for i := range 3 {
		y := plotTop + plotHeight*float64(i)/2
		c.Grid = append(c.Grid, gridLine{coordinate(y), coordinate(y - 5), []string{decimal(top) + " rows", decimal(top / 2), ""}[i]})
	}
	before := points[0]
	for i, p := range points {
		if n := p.Throttled - before.Throttled; i > 0 && n > 0 {
			c.Events = append(c.Events, event{percent(x(p) / 10), fmt.Sprintf("%s throttled after %s", count(n, "call"), duration(p.Seconds))})
		}
		before = p
		c.Data.Rows = append(c.Data.Rows, []string{duration(p.Seconds), number(p.Done), number(p.Imported), number(p.Calls), number(p.Throttled)})
	}
	return c
}

// roundUp returns the next number above n, 2 at least, that is short to write, and
// its half also.
func roundUp(n int64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(float64(n))))
	for _, times := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8, 10} {
		if f := times * power; f >= float64(n) && f >= 2 {
			return f
		}
	}
	return max(10*power, 2)
}

func coordinate(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }
