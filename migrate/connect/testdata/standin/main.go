// Command standin answers import calls as fast as it can, so that what is
// measured is never the endpoint: it takes the tokens of a call apart no further
// than it must to name them in its answer, and remembers nothing. For anything but
// measuring, use the sandbox.
//
// It prints the URL that it listens on and serves until its standard input ends.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("http://" + l.Addr().String())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stderr, http.Serve(l, http.HandlerFunc(answer)))
	os.Exit(1)
}

// buffers of a call: its body, and the answer.
type buffers struct {
	body   bytes.Buffer
	answer []byte
}

var pool = sync.Pool{New: func() any { return new(buffers) }}

// answer says of each token that it succeeded. It finds the parts that it echoes
// by their names, in the order in which they are sent, which real JSON would not
// promise.
func answer(w http.ResponseWriter, r *http.Request) {
	b := pool.Get().(*buffers)
	defer pool.Put(b)
	b.body.Reset()
	b.body.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	if _, err := b.body.ReadFrom(r.Body); err != nil {
		return
	}
	out, n := append(b.answer[:0], `{"tokens":[`...), 0
	for rest := b.body.Bytes(); ; n++ {
		var expires, subject, environment []byte
		if expires, rest = between(rest, `"expiresAt":`, ","); rest == nil {
			break
		}
		subject, rest = between(rest, `"subject":{`, "}")
		environment, rest = between(rest, `"environment":"`, `"`)
		if n > 0 {
			out = append(out, ',')
		}
		out = append(append(out, `{"expiresAt":`...), expires...)
		out = append(append(out, `,"subject":{`...), subject...)
		out = append(append(out, `},"environment":"`...), environment...)
		out = append(out, `","succeeded":true}`...)
	}
	count := strconv.Itoa(n)
	out = append(append(append(append(append(out, `],"accepted":`...), count...), `,"imported":`...), count...), '}')
	b.answer = out
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	_, _ = w.Write(out)
}

// between returns what stands between open and the next end behind it, and what
// follows; nil where open is not found.
func between(text []byte, open, end string) (part, rest []byte) {
	_, rest, found := bytes.Cut(text, []byte(open))
	if !found {
		return nil, nil
	}
	part, rest, found = bytes.Cut(rest, []byte(end))
	if !found {
		return nil, nil
	}
	return part, rest
}
