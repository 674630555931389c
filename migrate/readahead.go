package migrate

import (
	"context"
	"sync"
	"time"

	"tokenmigrate/source"
)

// readAhead reads a walk's pages one after the other. While the pages go through
// quickly, as they do where little has to be sent, it reads the next ones while the
// last one is at work. Where the pace holds them up it does not: rows would only wait,
// and be old when they are judged and sent.
type readAhead struct {
	pass  *pass
	after source.Cursor
	given time.Time // when the page that is at work was returned; zero: none was
	more  chan<- struct{}
	pages <-chan read // gets a page that is read ahead for each that more asks for
	asked int         // of these, those that were not taken yet
	under sync.WaitGroup
}

type read struct {
	page source.Page
	err  error
}

const (
	// aheadPages is how many pages may have been read ahead: one more than the one that
	// is taken next, so that neither side waits for the other's slower pages.
	aheadPages = 2
	// aheadWithin is how long a page may have been at work for more of them to be read
	// ahead.
	aheadWithin = time.Second
	// aheadGood is how old a page that was read ahead may have become meanwhile. Opening
	// its rows is part of that, which a slow cipher takes 10 seconds for.
	aheadGood = 15 * time.Second
)

// next returns the next page. It must not be called behind the end of the source.
func (a *readAhead) next(ctx context.Context) (source.Page, error) {
	quick := !a.given.IsZero() && a.pass.now().Sub(a.given) < aheadWithin
	r := a.take(ctx)
	a.after, a.given = r.page.Next, a.pass.now()
	if quick && r.err == nil && !r.page.End {
		a.ask(ctx)
	}
	return r.page, r.err
}

// ask has as many pages read ahead as may be.
func (a *readAhead) ask(ctx context.Context) {
	if a.pages == nil {
		more, pages, after := make(chan struct{}, aheadPages), make(chan read, aheadPages), a.after
		a.more, a.pages = more, pages
		a.under.Go(func() {
			for range more {
				page, err := a.pass.src.Page(ctx, after)
				pages <- read{page, err}
				if err != nil || page.End {
					return
				}
				after = page.Next
			}
		})
	}
	for ; a.asked < aheadPages; a.asked++ {
		a.more <- struct{}{}
	}
}

// drop lets go of what is read ahead.
func (a *readAhead) drop() {
	if a.pages != nil {
		close(a.more)
		a.pages, a.asked = nil, 0
	}
}

// take returns the page that was read ahead, or reads it: also where it has waited for
// long, and where that failed, since only what is needed is worth patience.
func (a *readAhead) take(ctx context.Context) read {
	if a.asked == 0 {
		return a.read(ctx)
	}
	a.asked--
	var r read
	waited := false
	select {
	case r = <-a.pages:
	default:
		r, waited = <-a.pages, true
	}
	// One that was waited for is as young as can be.
	if r.err != nil || !waited && a.pass.now().Sub(r.page.ReadAt) >= aheadGood {
		return a.read(ctx)
	}
	return r
}

// read reads the page behind the last one, and waits for a source that is away.
func (a *readAhead) read(ctx context.Context) read {
	a.drop()
	var page source.Page
	err := a.pass.wait.database(ctx, theSource, func() (err error) {
		page, err = a.pass.src.Page(ctx, a.after)
		return err
	})
	return read{page, err}
}

// wait ends reading ahead, and returns when nothing is read any more.
func (a *readAhead) wait() {
	a.drop()
	a.under.Wait()
}
