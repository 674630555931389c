package migrate

import (
	"math"
	"time"

	"tokenmigrate/migrate/report"
)

// expiries counts tokens by how long they live on. How long the run takes, within
// which a token may die, is only known when all are counted; so they are kept in
// classes finer than the report's, and bounded: 100 KiB for any number.
type expiries struct{ withRefresh, withoutRefresh [lifeClasses]int64 }

// steps are the widths of the classes, and up to where each goes. The report's
// own spans end where a class ends.
var steps = [...]struct {
	width, upTo time.Duration
	before      int // classes of the steps before; class 0 is what has expired
}{
	{time.Second, time.Hour, 0},
	{time.Minute, day, 3600},
	{time.Hour, 30 * day, 3600 + 23*60},
	{day, 1000 * day, 3600 + 23*60 + 29*24},
}

const (
	day         = 24 * time.Hour
	lifeClasses = 1 + 3600 + 23*60 + 29*24 + 970 + 1 // the last has no end
	forever     = time.Duration(math.MaxInt64)
)

// lifeClass returns the class of tokens that expire in left.
func lifeClass(left time.Duration) int {
	if left <= 0 {
		return 0
	}
	from := time.Duration(0)
	for _, s := range steps {
		if left <= s.upTo {
			return 1 + s.before + int((left-from-1)/s.width)
		}
		from = s.upTo
	}
	return lifeClasses - 1
}

// lifeEnd returns the longest life in a class.
func lifeEnd(class int) time.Duration {
	if class == 0 {
		return 0
	}
	from := time.Duration(0)
	for _, s := range steps {
		if end := from + time.Duration(class-s.before)*s.width; end <= s.upTo {
			return end
		}
		from = s.upTo
	}
	return forever
}

func (e *expiries) add(left time.Duration, refresh bool) {
	if refresh {
		e.withRefresh[lifeClass(left)]++
	} else {
		e.withoutRefresh[lifeClass(left)]++
	}
}

// spanEnds are the ends of report.ExpirySpans that are fixed, by name.
var spanEnds = map[string]time.Duration{"expired": 0, "1h": time.Hour, "24h": day, "7d": 7 * day, "30d": 30 * day, "later": forever}

// report sums the classes up for a run that takes d. A class that d ends in
// counts as dying in the run.
func (e *expiries) report(d time.Duration) []report.Expiry {
	names := report.ExpirySpans()
	out := make([]report.Expiry, len(names))
	class := 0
	for i, name := range names {
		out[i].UpTo = name
		end, fixed := spanEnds[name]
		if !fixed {
			end = lifeEnd(lifeClass(d)) // of the run
		}
		for ; class < lifeClasses && lifeEnd(class) <= end; class++ {
			out[i].WithRefresh += e.withRefresh[class]
			out[i].WithoutRefresh += e.withoutRefresh[class]
		}
	}
	return out
}
