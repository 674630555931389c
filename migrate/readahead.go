package migrate

import (
	"context"
	"sync"
	"time"

	"tokenmigrate/source"
)

// readAhead reads a walk's pages one after the other. While the pages go through
// quickly, as they do where little has to be sent, it reads the next one while the
// last one is at work. Where the pace holds them up it does not, and what was read ahead
// of a page that is held up is read again: rows would only wait, and be old when they
// are judged and sent.
type readAhead struct {
	pass  *pass
	after source.Cursor
	given time.Time          // when the page that is at work was returned; zero: none was
	begun chan read          // gets the page that is read ahead; nil: none is
	drop  context.CancelFunc // ends that
	under sync.WaitGroup
}

type read struct {
	page  source.Page
	marks []mark // of the page's rows
	err   error
}

// aheadWithin is how long a page may be at work for the next one, read meanwhile, to be
// good, and the next but one to be read ahead: a small part of what makes a row old.
const aheadWithin = time.Second

// next returns the next page, and the marks of its rows. It must not be called behind
// the end of the source.
func (a *readAhead) next(ctx context.Context) (source.Page, []mark, error) {
	quick := !a.given.IsZero() && a.pass.now().Sub(a.given) < aheadWithin
	var r read
	switch {
	case a.begun == nil:
		r = a.read(ctx)
	case quick:
		r = <-a.begun
	default: // it has waited too long
		a.drop()
		<-a.begun
		r = a.read(ctx)
	}
	a.begun = nil
	a.after, a.given = r.page.Next, a.pass.now()
	if quick && r.err == nil && !r.page.End {
		begun := make(chan read, 1)
		ctx, drop := context.WithCancel(ctx)
		a.begun, a.drop = begun, drop
		a.under.Go(func() {
			defer drop()
			begun <- a.read(ctx)
		})
	}
	return r.page, r.marks, r.err
}

// read reads the page behind the last one.
func (a *readAhead) read(ctx context.Context) (r read) {
	r.err = a.pass.wait.database(ctx, theSource, func() (err error) {
		r.page, err = a.pass.src.Page(ctx, a.after)
		return err
	})
	r.marks = a.pass.judge.hash.marks(r.page.Rows)
	return r
}

// wait returns when nothing is read any more.
func (a *readAhead) wait() { a.under.Wait() }
