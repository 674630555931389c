package connect

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	connectTimeout = 10 * time.Second // of dialling, and of the TLS handshake
	pingTimeout    = 15 * time.Second // of silence on an HTTP/2 connection, and of the answer to a ping
	idleTimeout    = 90 * time.Second
	maxIdle        = 64 // connections kept open: at least as many as there may be senders
	maxHeader      = 256 << 10
	// writeBuffer holds a usual call, header and body, so that it leaves in one piece.
	writeBuffer = 64 << 10
)

// newTransport returns the Client's own transport. RoundTrip is called on it
// directly, not through an http.Client: that would follow redirects.
//
// A request may be made a second time within one RoundTrip, where Go's transport
// finds the connection that it took from its pool dead. Over HTTP/1 it does so
// only when not one byte of the request was written: a POST without an
// Idempotency-Key header is not repeated otherwise, and we set none. Over HTTP/2
// it would also repeat what was written, when the server refuses the stream or
// goes away (harmless: it says it has not acted on the request) but also when
// the server resets the stream with PROTOCOL_ERROR, which says nothing of the
// kind. Import therefore forbids all of these once the header is being written,
// by its GetBody; such a call is lost.
func newTransport(plain bool, roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	if plain {
		// "localhost" is what the resolver makes of it.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if host, _, err := net.SplitHostPort(address); err != nil || !isLoopback(host) {
				return errNotLoopback
			}
			return nil
		}
	}
	return &http.Transport{
		Proxy:                  quietProxy(http.ProxyFromEnvironment),
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		WriteBufferSize:        writeBuffer,
		// A connection that died in silence is found before the next call is
		// lost on it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
	}
}

type proxyFunc func(*http.Request) (*url.URL, error)

// quietProxy replaces the error for a proxy that is no valid URL: it quotes the
// URL, password and all.
func quietProxy(find proxyFunc) proxyFunc {
	return func(r *http.Request) (*url.URL, error) {
		proxy, err := find(r)
		if err != nil {
			return nil, errProxy
		}
		return proxy, nil
	}
}

var (
	errNotLoopback = errors.New("plain http to an address that is not loopback; use https")
	errProxy       = errors.New("the environment's proxy for https (HTTPS_PROXY) is not a valid URL")
	errStream      = errors.New("the server gave up the HTTP/2 stream after the request was written")
)

// connTrace notes how far the transport came with a request.
type connTrace struct {
	had     atomic.Bool // the request has a connection, and may have been written
	http2   atomic.Bool // that connection speaks HTTP/2
	written atomic.Bool // some of the request may have been written to it
}

func (t *connTrace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		// The transport asks for another connection only after it found that
		// nothing was sent over the one before (see newTransport).
		GetConn: func(string) { t.had.Store(false) },
		GotConn: func(info httptrace.GotConnInfo) {
			conn, ok := info.Conn.(*tls.Conn)
			t.http2.Store(ok && conn.ConnectionState().NegotiatedProtocol == "h2")
			t.had.Store(true)
		},
		// Over HTTP/2 this comes before the first byte is written. Over HTTP/1
		// the transport itself counts the bytes.
		WroteHeaderField: func(string, []string) {
			if t.http2.Load() {
				t.written.Store(true)
			}
		},
	}
}
