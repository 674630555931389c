package migrate

import (
	"context"
	"sync"
	"time"

	"tokenmigrate/source"
)

// readAhead reads a walk's pages one after the other. While the pages go through
// quickly, as they do where little has to be sent, it reads the next one while the
// last one is at work. Where the pace holds them up it does not: rows would only wait,
// and be old when they are judged and sent.
type readAhead struct {
	pass  *pass
	after source.Cursor
	given time.Time // when the page that is at work was returned; zero: none was
	begun chan read // gets the page that is read ahead; nil: none is
	under sync.WaitGroup
}

type read struct {
	page  source.Page
	marks []mark // of the page's rows
	err   error
}

const (
	// aheadWithin is how long a page may have been at work for the next but one to be
	// read ahead.
	aheadWithin = time.Second
	// aheadGood is how old a page that was read ahead may have become meanwhile. Opening
	// its rows is part of that, which a slow cipher takes 10 seconds for.
	aheadGood = 15 * time.Second
)

// next returns the next page, and the marks of its rows. It must not be called behind
// the end of the source.
func (a *readAhead) next(ctx context.Context) (source.Page, []mark, error) {
	quick := !a.given.IsZero() && a.pass.now().Sub(a.given) < aheadWithin
	r := a.take(ctx)
	a.after, a.given = r.page.Next, a.pass.now()
	if quick && r.err == nil && !r.page.End {
		begun := make(chan read, 1)
		a.begun = begun
		a.under.Go(func() {
			page, err := a.pass.src.Page(ctx, a.after)
			begun <- a.marked(page, err)
		})
	}
	return r.page, r.marks, r.err
}

// take returns the page that was read ahead, or reads it: also where it has waited for
// long, and where that failed, since only what is needed is worth patience.
func (a *readAhead) take(ctx context.Context) read {
	begun := a.begun
	a.begun = nil
	if begun == nil {
		return a.read(ctx)
	}
	var r read
	waited := false
	select {
	case r = <-begun:
	default:
		r, waited = <-begun, true
	}
	// One that was waited for is as young as can be.
	if r.err != nil || !waited && a.pass.now().Sub(r.page.ReadAt) >= aheadGood {
		return a.read(ctx)
	}
	return r
}

// read reads the page behind the last one, and waits for a source that is away.
func (a *readAhead) read(ctx context.Context) read {
	var page source.Page
	err := a.pass.wait.database(ctx, theSource, func() (err error) {
		page, err = a.pass.src.Page(ctx, a.after)
		return err
	})
	return a.marked(page, err)
}

// marked adds the marks of a page's rows.
func (a *readAhead) marked(page source.Page, err error) read {
	return read{page, a.pass.judge.hash.marks(page.Rows), err}
}

// wait returns when nothing is read any more.
func (a *readAhead) wait() { a.under.Wait() }
