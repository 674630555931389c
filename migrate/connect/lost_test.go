package connect

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// rawServer accepts connections and gives each to serve, one after the other,
// until the test ends. It speaks no HTTP of its own, so that serve may break it.
func rawServer(t *testing.T, config *tls.Config, serve func(n int, conn net.Conn)) (host string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(n, conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// readRequest reads one HTTP/1 request whole and returns it; nil at the end.
func readRequest(r *bufio.Reader) *http.Request {
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil
	}
	return req
}

// reset closes the connection with a RST instead of a FIN.
func reset(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func TestClient_TellsHowAnAnswerWasLost(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(conn net.Conn, r *bufio.Reader)
		want  string
		is    error // what errors.Is finds; nil: not asked
	}{
		{"closed before the request was read", func(conn net.Conn, r *bufio.Reader) {},
			"the connection broke before an answer came", nil},
		{"reset within the request", func(conn net.Conn, r *bufio.Reader) { r.ReadByte(); reset(conn) },
			"the connection broke before an answer came", nil},
		{"closed after the request", func(conn net.Conn, r *bufio.Reader) { readRequest(r) },
			"the connection broke before an answer came", io.EOF},
		{"reset after the request", func(conn net.Conn, r *bufio.Reader) { readRequest(r); reset(conn) },
			"the connection broke before an answer came", syscall.ECONNRESET},
		{"cut header", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-")
		},
			"the connection broke before an answer came", nil},
		{"no HTTP", func(conn net.Conn, r *bufio.Reader) { readRequest(r); io.WriteString(conn, "SSH-2.0-OpenSSH\r\n\r\n") },
			"the connection broke before an answer came: malformed HTTP response", nil},
		{"no body", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
		}, "the connection broke 0 bytes into the answer: unexpected EOF", io.ErrUnexpectedEOF},
		{"cut body", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"tokens\":")
		}, "the connection broke 10 bytes into the answer: unexpected EOF", io.ErrUnexpectedEOF},
		{"cut body, that reads well", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(oneImported)+1, oneImported)
		}, "bytes into the answer: unexpected EOF", io.ErrUnexpectedEOF},
		{"cut chunks", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(oneImported), oneImported)
		}, "bytes into the answer: unexpected EOF", io.ErrUnexpectedEOF},
		{"reset within the body", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
			reset(conn)
		}, "", nil}, // what was received before a RST may be lost with it
		{"empty", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		},
			"the answer, of status 204, is not readable: it is not JSON", nil},
		{"a web page", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
		}, "the answer, of status 200, is not readable: it is not JSON at byte 1: ", nil},
		{"half of the JSON", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"tokens\":[{")
		}, "the answer, of status 200, is not readable: it is not JSON at byte 12", nil},
		{"other JSON", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"ok\":true}")
		}, `the answer, of status 200, is not readable: it has no list "tokens"`, nil},
		{"no answer in time", func(conn net.Conn, r *bufio.Reader) { readRequest(r); r.ReadByte() },
			"the call's time of 250ms ended before an answer came", context.DeadlineExceeded},
		{"no end in time", func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
			r.ReadByte()
		}, "the call's time of 250ms ended 1 bytes into the answer", context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var served atomic.Int32
			host := rawServer(t, nil, func(_ int, conn net.Conn) {
				served.Add(1)
				tt.serve(conn, bufio.NewReader(conn))
			})
			c := newClient(t, "http://"+host, func(o *Options) { o.Timeout = 250 * time.Millisecond })
			got, err := c.Import(t.Context(), "c", []Token{fullToken()})
			var lost *LostError
			if !errors.As(err, &lost) {
				t.Fatalf("got %s and %v, want a *LostError", show(got), err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %q\nwant %q in it", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %v in its chain", err, tt.is)
			}
			if served.Load() != 1 {
				t.Errorf("got %d connections, want 1: a lost call must not be repeated", served.Load())
			}
		})
	}
}

// Go quotes what is not HTTP, and that may be an echo.
func TestClient_ScrubsTransportErrors(t *testing.T) {
	token := minimalToken()
	token.AccessToken = NewSecret("access-canary-0123456789")
	host := rawServer(t, nil, func(_ int, conn net.Conn) {
		readRequest(bufio.NewReader(conn))
		io.WriteString(conn, "access-canary-0123456789 "+apiCredential+"\r\n\r\n")
	})
	_, err := newClient(t, "http://"+host, nil).Import(t.Context(), "c", []Token{token})
	var lost *LostError
	if !errors.As(err, &lost) {
		t.Fatalf("got %v, want a *LostError", err)
	}
	for ; err != nil; err = errors.Unwrap(err) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
			got := fmt.Sprintf(verb, err)
			if leak := leaked(got, "access-canary-0123456789") + leaked(got, apiCredential); leak != "" {
				t.Errorf("%s of %T: %q holds %q", verb, err, got, leak)
			}
		}
	}
}

func TestClient_KnowsACallThatWasNotSent(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	silent := rawServer(t, nil, func(_ int, conn net.Conn) { io.Copy(io.Discard, conn) })
	plain := rawServer(t, nil, func(_ int, conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
	})
	for _, tt := range []struct {
		name, url, want string
		is              error
		permanent       bool
	}{
		{"nobody listens", "http://" + closed.Addr().String(), "connection refused", syscall.ECONNREFUSED, false},
		{"nobody listens, TLS", "https://" + closed.Addr().String(), "connection refused", syscall.ECONNREFUSED, false},
		{"no handshake in time", "https://" + silent, "there was no connection within 250ms", context.DeadlineExceeded, false},
		{"no TLS", "https://" + plain, "the server answers without TLS", nil, true},
	} {
		c := newClient(t, tt.url, func(o *Options) { o.Timeout = 250 * time.Millisecond })
		_, err := c.Import(t.Context(), "c", []Token{minimalToken()})
		var notSent *NotSentError
		if !errors.As(err, &notSent) || notSent.Permanent != tt.permanent || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want a *NotSentError with %q, permanent %t", tt.name, err, tt.want, tt.permanent)
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: got %v, want %v in its chain", tt.name, err, tt.is)
		}
	}
}

func TestClient_NeverSendsPlainlyBeyondLoopback(t *testing.T) {
	tr := newTransport(true, nil)
	defer tr.CloseIdleConnections()
	// 192.0.2.1 is an address of documentation that nobody has.
	req := httptest.NewRequest("POST", "http://192.0.2.1:9/", nil)
	if resp, err := tr.RoundTrip(req); !errors.Is(err, errNotLoopback) {
		t.Errorf("got %v and %v, want %v", resp, err, errNotLoopback)
	}
}

func TestConnTrace_ForgetsAConnectionThatTookNothing(t *testing.T) {
	var trace connTrace
	hooks := trace.hooks()
	for _, step := range []struct {
		do   func()
		want bool
	}{
		{func() {}, false},
		{func() { hooks.GetConn("h:443") }, false},
		{func() { hooks.GotConn(httptrace.GotConnInfo{}) }, true},
		{func() { hooks.WroteHeaderField("a", nil) }, true},
		{func() { hooks.GetConn("h:443") }, false}, // the transport starts anew
	} {
		step.do()
		if got := trace.had.Load(); got != step.want {
			t.Errorf("got connection %t, want %t", got, step.want)
		}
	}
	if trace.written.Load() {
		t.Error("got HTTP/2 written to a connection of HTTP/1")
	}
}

func TestClient_TellsWhenItWasCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	host := rawServer(t, nil, func(_ int, conn net.Conn) {
		r := bufio.NewReader(conn)
		if readRequest(r) != nil {
			cancel() // the request is here: from now on it is in doubt
			r.ReadByte()
		}
	})
	c := newClient(t, "http://"+host, nil)
	_, err := c.Import(ctx, "c", []Token{minimalToken()})
	var lost *LostError
	if !errors.As(err, &lost) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cancelled before an answer came") {
		t.Errorf("got %v, want a *LostError of the context's", err)
	}
	_, err = c.Import(ctx, "c", []Token{minimalToken()})
	var notSent *NotSentError
	if !errors.As(err, &notSent) || notSent.Permanent || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cancelled before") {
		t.Errorf("got %v, want a *NotSentError of the context's", err)
	}

	// Cancelled amid the handshake: there never was a connection.
	ctx, cancel = context.WithCancel(t.Context())
	host = rawServer(t, nil, func(_ int, conn net.Conn) {
		cancel()
		io.Copy(io.Discard, conn)
	})
	_, err = newClient(t, "https://"+host, nil).Import(ctx, "c", []Token{minimalToken()})
	if !errors.As(err, &notSent) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a *NotSentError of the context's", err)
	}
}

func TestClient_KeepsAStatusWhoseBodyDoesNotCome(t *testing.T) {
	for name, after := range map[string]string{
		"stalled":   "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 50\r\n\r\n{",
		"cut":       "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 50\r\n\r\n{\x00",
		"switching": "HTTP/1.1 101 Switching Protocols\r\nRetry-After: 7\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
	} {
		host := rawServer(t, nil, func(_ int, conn net.Conn) {
			r := bufio.NewReader(conn)
			readRequest(r)
			io.WriteString(conn, after)
			if name != "cut" {
				r.ReadByte()
			}
		})
		c := newClient(t, "http://"+host, func(o *Options) { o.Timeout = 250 * time.Millisecond })
		_, err := c.Import(t.Context(), "c", []Token{minimalToken()})
		var got *StatusError
		if !errors.As(err, &got) || got.Status != 429 && got.Status != 101 || got.Wait != 7*time.Second || !got.RetryAfter {
			t.Errorf("%s: got %v, want a *StatusError that asks to wait 7s", name, err)
		}
	}
}

// A server may close a connection that the client keeps. A call that meets this
// is made over another connection if nothing of it was written, and is lost, but
// never made twice, if it was.
func TestClient_RepeatsNothingOverAStaleConnection(t *testing.T) {
	var requests, connections atomic.Int32
	closed := make(chan struct{})
	host := rawServer(t, nil, func(n int, conn net.Conn) {
		connections.Add(1)
		r := bufio.NewReader(conn)
		for readRequest(r) != nil {
			if requests.Add(1) == 2 {
				return // read, perhaps acted upon, not answered
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(oneImported), oneImported)
			if requests.Load() == 3 {
				reset(conn)
				close(closed)
				return
			}
		}
	})
	c := newClient(t, "http://"+host, nil)
	call := func() error {
		_, err := c.Import(t.Context(), "c", []Token{minimalToken()})
		return err
	}
	if err := call(); err != nil {
		t.Fatalf("first call: %v", err)
	}
	var lost *LostError
	if err := call(); !errors.As(err, &lost) {
		t.Fatalf("second call: got %v, want a *LostError", err)
	}
	if got := requests.Load(); got != 2 || connections.Load() != 1 {
		t.Fatalf("got %d requests over %d connections, want 2 over 1", got, connections.Load())
	}
	if err := call(); err != nil {
		t.Fatalf("third call: %v", err)
	}
	<-closed
	if err := call(); err != nil && !errors.As(err, &lost) {
		t.Fatalf("fourth call: got %v, want none or a *LostError", err)
	}
	if got := requests.Load(); got > 4 {
		t.Errorf("got %d requests for 4 calls", got)
	}
}

// HTTP/2 frames, as far as the test below needs them (RFC 9113, section 6).
const (
	frameHeaders    = 1
	frameRST        = 3
	frameSettings   = 4
	frameGoAway     = 7
	flagEndStream   = 1
	protocolError   = 1
	internalError   = 2
	refusedStream   = 7
	enhanceYourself = 11
)

func writeFrame(w io.Writer, kind byte, stream uint32, payload ...byte) {
	head := []byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, 0}
	w.Write(append(binary.BigEndian.AppendUint32(head, stream), payload...))
}

// A server that gives up a stream may have acted on it, whatever it says. Go's
// transport would repeat the first, second and last of these on its own.
func TestClient_RepeatsNoHTTP2Stream(t *testing.T) {
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	defer certificate.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Certificate())
	config := &tls.Config{Certificates: certificate.TLS.Certificates, NextProtos: []string{"h2"}}

	for _, tt := range []struct {
		name   string
		giveUp func(conn net.Conn, stream uint32)
	}{
		{"PROTOCOL_ERROR", func(conn net.Conn, stream uint32) { writeFrame(conn, frameRST, stream, 0, 0, 0, protocolError) }},
		{"REFUSED_STREAM", func(conn net.Conn, stream uint32) { writeFrame(conn, frameRST, stream, 0, 0, 0, refusedStream) }},
		{"INTERNAL_ERROR", func(conn net.Conn, stream uint32) { writeFrame(conn, frameRST, stream, 0, 0, 0, internalError) }},
		{"GOAWAY, an error", func(conn net.Conn, stream uint32) {
			writeFrame(conn, frameGoAway, 0, 0, 0, 0, 0, 0, 0, 0, enhanceYourself)
		}},
		{"GOAWAY", func(conn net.Conn, stream uint32) { writeFrame(conn, frameGoAway, 0, 0, 0, 0, 0, 0, 0, 0, 0) }},
	} {
		var requests atomic.Int32
		host := rawServer(t, config, func(_ int, conn net.Conn) {
			r := bufio.NewReader(conn)
			r.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
			writeFrame(conn, frameSettings, 0)
			for {
				var head [9]byte
				if _, err := io.ReadFull(r, head[:]); err != nil {
					return
				}
				r.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2]))
				kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
				if kind == frameHeaders {
					requests.Add(1)
				}
				if stream != 0 && flags&flagEndStream != 0 {
					tt.giveUp(conn, stream)
				}
			}
		})
		c := newClient(t, "https://"+host, func(o *Options) { o.RootCAs = roots; o.Timeout = 5 * time.Second })
		_, err := c.Import(t.Context(), "c", []Token{minimalToken()})
		var lost *LostError
		if !errors.As(err, &lost) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want a *LostError at once", tt.name, err)
		}
		if requests.Load() != 1 {
			t.Errorf("%s: got %d requests, want 1", tt.name, requests.Load())
		}
		c.Close()
	}
}
