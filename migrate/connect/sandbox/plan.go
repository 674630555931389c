package sandbox

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// playbill decides which faults fall to a call. It is safe for concurrent use.
type playbill struct {
	seed uint64

	mu     sync.Mutex
	faults []*scheduled
	number int // import calls let through so far
}

type scheduled struct {
	Fault
	name   string
	shape  bool
	early  bool
	played int
}

// set replaces the faults; the count of calls goes on.
func (b *playbill) set(faults []Fault) {
	list := make([]*scheduled, len(faults))
	for i, f := range faults {
		info, _ := infoOf(f.Kind)
		list[i] = &scheduled{Fault: f, name: f.name(), shape: info.shape, early: info.early}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = list
}

// A plan is what may fall to one call: decided when the call arrives, and
// narrowed when its tokens are known.
type plan struct {
	number  int
	rand    *rand.Rand // of this call alone
	endings []*scheduled
	shapes  []*scheduled
}

// next counts the call and draws its faults.
func (b *playbill) next(connector string) plan {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.number++
	p := plan{number: b.number, rand: rand.New(rand.NewPCG(b.seed, uint64(b.number)))}
	// One draw serves all endings, laid side by side on [0,1), so that each has
	// exactly its share however many there are.
	draw, edge := p.rand.Float64(), 0.0
	for _, f := range b.faults {
		hit := f.names(p.number)
		if f.shape {
			// The draw is made in any case: one fault's other conditions must
			// not change what falls to its neighbours.
			hit = p.rand.Float64() < f.Share || hit
		} else {
			hit = draw >= edge && draw < edge+f.Share || hit
			edge += f.Share
		}
		switch {
		case !hit || f.Connector != "" && f.Connector != connector:
		case f.shape:
			p.shapes = append(p.shapes, f)
		default:
			p.endings = append(p.endings, f)
		}
	}
	return p
}

// names reports whether the fault falls to the call for its number.
func (f *scheduled) names(number int) bool {
	if f.Share == 0 && f.Every == 0 && len(f.Calls) == 0 {
		return true
	}
	return f.Every > 0 && number%f.Every == 0 || slices.Contains(f.Calls, number)
}

// early returns the ending to play before the body is read, if it is one.
func (b *playbill) early(p plan) *scheduled {
	for _, f := range p.endings {
		if !f.early && f.Subject == "" {
			return nil
		}
		if f.early && b.take(f) {
			return f
		}
	}
	return nil
}

// settle returns what is played once the tokens are known: at most one ending,
// and the shapes.
func (b *playbill) settle(p plan, tokens []Token) (ending *scheduled, shapes []*scheduled) {
	falls := func(f *scheduled) bool {
		return f.Subject == "" || slices.ContainsFunc(tokens, func(t Token) bool { return t.Subject.ID == f.Subject })
	}
	for _, f := range p.endings {
		if !f.early && falls(f) && b.take(f) {
			ending = f
			break
		}
	}
	for _, f := range p.shapes {
		if falls(f) && b.take(f) {
			shapes = append(shapes, f)
		}
	}
	return ending, shapes
}

// take uses up one of the fault's Times.
func (b *playbill) take(f *scheduled) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.Times > 0 && f.played >= f.Times {
		return false
	}
	f.played++
	return true
}
