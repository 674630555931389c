package migrate

import (
	"bytes"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// proxy stands between a worker and a server and plays a bad network. It passes
// everything on until told otherwise.
type proxy struct {
	target   string
	listener net.Listener
	over     sync.WaitGroup

	mu     sync.Mutex
	wake   *sync.Cond // something below has changed
	links  map[*link]bool
	down   bool
	frozen bool
	closed bool
	seen   map[string]int // how often a worker has said what count counts
	drop   string
	drops  int // answers to it that are still to be dropped
}

// link is one connection through a proxy.
type link struct {
	client, server net.Conn
	armed          bool // the next end of a transaction is not passed on
}

// startProxy starts a proxy to the host:port target; the test's end closes it.
func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: target, listener: l, links: map[*link]bool{}, seen: map[string]int{}}
	p.wake = sync.NewCond(&p.mu)
	p.over.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// through returns a URL whose host is the proxy's own.
func (p *proxy) through(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

// hostOf returns the host:port of a URL.
func hostOf(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// cut breaks all connections; new ones may be made at once.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// turn takes the server off the net, or puts it back.
func (p *proxy) turn(on bool) {
	p.mu.Lock()
	p.down = !on
	p.mu.Unlock()
	if !on {
		p.cut()
	}
}

// freeze holds everything back, without a word to either side, or lets it go on.
func (p *proxy) freeze(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = on
	p.wake.Broadcast()
}

// count makes the proxy count how often the worker says text, from now on.
func (p *proxy) count(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[text] = 0
}

// counted returns how often text was said since count.
func (p *proxy) counted(text string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[text]
}

// dropAnswers makes the next n transactions in which the worker says text lose
// the answer to their COMMIT, and the connection with it.
func (p *proxy) dropAnswers(text string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop, p.drops = text, n
}

// left returns how many answers are still to be dropped.
func (p *proxy) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drops
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.over.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	if !p.pass() {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	l := &link{client: client, server: server}
	p.mu.Lock()
	p.links[l] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	}()
	var both sync.WaitGroup
	both.Go(func() { p.copy(l, server, client, p.said) })
	both.Go(func() { p.copy(l, client, server, p.answered) })
	both.Wait()
}

// copy passes on what comes from one side as long as look allows.
func (p *proxy) copy(l *link, to, from net.Conn, look func(*link, []byte) bool) {
	defer l.close()
	buf := make([]byte, 256<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !look(l, buf[:n]) || !p.pass() {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits while everything is frozen, and reports whether it may go on.
func (p *proxy) pass() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.frozen && !p.closed {
		p.wake.Wait()
	}
	return !p.down && !p.closed
}

// said looks at what a worker sends. Statements are short enough to come in one
// piece.
func (p *proxy) said(l *link, piece []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for text := range p.seen {
		p.seen[text] += bytes.Count(piece, []byte(text))
	}
	if p.drops > 0 && bytes.Contains(piece, []byte(p.drop)) && bytes.Contains(piece, []byte(execute)) {
		l.armed = true
		p.drops--
	}
	return true
}

// execute is Postgres' Execute of an unnamed statement, all rows: it tells a
// statement that is run from one that is only described.
const execute = "E\x00\x00\x00\x09\x00\x00\x00\x00\x00"

// endOfTransaction is Postgres' ReadyForQuery outside of a transaction.
const endOfTransaction = "Z\x00\x00\x00\x05I"

// answered looks at what a server sends.
func (p *proxy) answered(l *link, piece []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !l.armed || !strings.HasSuffix(string(piece), endOfTransaction)
}

// close breaks both sides, with a reset towards the client: nobody says goodbye.
func (l *link) close() {
	if tcp, ok := l.client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = l.client.Close()
	_ = l.server.Close()
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.wake.Broadcast()
	p.mu.Unlock()
	_ = p.listener.Close()
	p.cut()
	p.over.Wait()
}
