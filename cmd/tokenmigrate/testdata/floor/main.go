// Command floor is what the whole pass is measured against: the least that a
// program pays that moves tokens from a Postgres to the import endpoint. It streams
// one SELECT, posts the tokens a hundred at a time with eight senders, and copies
// each chunk's results into a table. It promises nothing: it validates nothing,
// trusts the order of an answer, knows no pace, and cannot be run again.
//
//	floor DATABASE_URL ENDPOINT_URL QUERY
//
// The query's columns are key, access token, refresh token, expiry in Unix
// milliseconds and subject, all of them free of what JSON would escape. Results go
// to the table floor(key text, succeeded boolean), which must exist.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	chunkTokens = 100
	senders     = 8
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// chunk is one call.
type chunk struct {
	keys []string
	body []byte
}

func run(ctx context.Context, database, endpoint, query string) error {
	chunks := make(chan *chunk)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(chunks)
		return read(ctx, database, query, chunks)
	})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	for range senders {
		g.Go(func() error { return send(ctx, database, endpoint, client, chunks) })
	}
	return g.Wait()
}

// read streams the query's rows into chunks.
func read(ctx context.Context, database, query string, chunks chan<- *chunk) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return err
	}
	var c *chunk
	var key, access, refresh, subject string
	var expires int64
	_, err = pgx.ForEachRow(rows, []any{&key, &access, &refresh, &expires, &subject}, func() error {
		if c == nil {
			c = &chunk{keys: make([]string, 0, chunkTokens), body: append(make([]byte, 0, 32<<10), `{"tokens":[`...)}
		} else {
			c.body = append(c.body, ',')
		}
		c.keys = append(c.keys, key)
		c.body = append(append(append(c.body, `{"accessToken":"`...), access...), `","expiresAt":`...)
		c.body = append(append(append(strconv.AppendInt(c.body, expires, 10), `,"refreshToken":"`...), refresh...), `","subject":{"type":"user","id":"`...)
		c.body = append(append(c.body, subject...), `"},"environment":"production"}`...)
		if len(c.keys) == chunkTokens {
			defer func() { c = nil }()
			return hand(ctx, c, chunks)
		}
		return nil
	})
	if err == nil && c != nil {
		err = hand(ctx, c, chunks)
	}
	return err
}

func hand(ctx context.Context, c *chunk, chunks chan<- *chunk) error {
	c.body = append(c.body, `]}`...)
	select {
	case chunks <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send posts chunks and copies their results.
func send(ctx context.Context, database, endpoint string, client *http.Client, chunks <-chan *chunk) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for c := range chunks {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/v1/connect/token/slack%2Facme/import", bytes.NewReader(c.body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer floor")
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		var answer struct{ Tokens []struct{ Succeeded bool } }
		err = json.NewDecoder(resp.Body).Decode(&answer)
		_ = resp.Body.Close()
		if err != nil || len(answer.Tokens) != len(c.keys) {
			return fmt.Errorf("the endpoint answered %s, %d of %d results: %w", resp.Status, len(answer.Tokens), len(c.keys), err)
		}
		results := pgx.CopyFromSlice(len(c.keys), func(i int) ([]any, error) { return []any{c.keys[i], answer.Tokens[i].Succeeded}, nil })
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{"floor"}, []string{"key", "succeeded"}, results); err != nil {
			return err
		}
	}
	return nil
}
