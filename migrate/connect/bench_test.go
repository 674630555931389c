package connect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"tokenmigrate/migrate/measure"
)

// Each round of a benchmark encodes, decodes or sends so many calls of a full
// chunk.
const (
	benchCalls = 200
	benchChunk = 100
)

// benchTokens is a chunk of tokens like those of a usual store.
func benchTokens() []Token {
	tokens := make([]Token, benchChunk)
	for i := range tokens {
		tokens[i] = Token{
			AccessToken: NewSecret(fmt.Sprintf("xoxe.xoxp-1-%s%04d", strings.Repeat("Ab3d", 16), i)), ExpiresAt: 1_900_000_000_000,
			RefreshToken: NewSecret(fmt.Sprintf("xoxe-1-%s%04d", strings.Repeat("Ef4h", 16), i)),
			Subject:      Subject{Type: SubjectUser, ID: fmt.Sprintf("U0123456789%04d", i)}, Environment: "production",
			Scopes: []string{"channels:read", "chat:write", "users:read"},
		}
	}
	return tokens
}

// benchAnswer is what the endpoint answers to tokens.
func benchAnswer(tokens []Token) []byte {
	text := fmt.Appendf(nil, `{"accepted":%d,"imported":%d,"tokens":[`, len(tokens), len(tokens))
	for i := range tokens {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, `{"expiresAt":%d,"subject":{"type":"user","id":"%s"},"environment":"production","scopes":["channels:read","chat:write","users:read"],"succeeded":true}`,
			tokens[i].ExpiresAt, tokens[i].Subject.ID)
	}
	return append(text, `]}`...)
}

// BenchmarkEncode makes the bodies of calls, as Import does. The floor appends the
// same JSON, ready, to a buffer that it keeps.
func BenchmarkEncode(b *testing.B) {
	tokens := benchTokens()
	ready := make([][]byte, len(tokens))
	for i := range tokens {
		ready[i] = tokens[i].AppendJSON(nil)
	}
	var kept []byte
	measure.Stage(b, benchCalls*benchChunk, func() {
		for range benchCalls {
			encode(tokens)
		}
	}, func() {
		for range benchCalls {
			kept = append(kept[:0], bodyOpen...)
			for _, text := range ready {
				kept = append(append(kept, text...), ',')
			}
			kept = append(kept, bodyClose...)
		}
	})
}

// BenchmarkDecode reads answers. The floor checks the syntax alone.
func BenchmarkDecode(b *testing.B) {
	answer := benchAnswer(benchTokens())
	measure.Stage(b, benchCalls*benchChunk, func() {
		for range benchCalls {
			if got, err := decodeAnswer(answer, benchChunk); err != nil || len(got.Results) != benchChunk {
				b.Fatalf("got %d results and %v", len(got.Results), err)
			}
		}
	}, func() {
		for range benchCalls {
			if !json.Valid(answer) {
				b.Fatal("the answer is no JSON")
			}
		}
	})
}

// BenchmarkImport makes calls, one after the other, to an endpoint in a process of
// its own. The floor posts a ready body and reads the answer's bytes.
func BenchmarkImport(b *testing.B) {
	url := measure.Endpoint(b, "./testdata/standin")
	c, err := New(Options{URL: url, Credential: func() Secret { return NewSecret("credential") }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	tokens := benchTokens()
	body := AppendBody(nil, tokens)
	client := &http.Client{Transport: &http.Transport{}}
	b.Cleanup(client.CloseIdleConnections)
	measure.Stage(b, benchCalls*benchChunk, func() {
		for range benchCalls {
			answer, err := c.Import(context.Background(), "slack/acme", tokens)
			if err != nil || len(answer.Results) != benchChunk {
				b.Fatalf("got %d results and %v", len(answer.Results), err)
			}
		}
	}, func() {
		for range benchCalls {
			resp, err := client.Post(url+"/v1/connect/token/slack%2Facme/import", "application/json", bytes.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close()
		}
	})
}
