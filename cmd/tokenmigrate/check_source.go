package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"tokenmigrate/source"
)

const (
	sampleRows  = 1000 // rows that are mapped
	sampleShown = 5    // of them, at least as far as there are some
	sampleMost  = 10   // and at most, so that each outcome is shown once
)

// source looks at the source's database, and at everything that is read there.
func (c *checkup) source(ctx context.Context) {
	c.group = groupSource
	cfg := c.cfg.Source.DB
	if cfg == nil || c.broken("source.url", "source.password") {
		c.leftOut("it needs source.url; nor reading, keys and sample")
		return
	}
	server := c.server(ctx, "source", cfg, false)
	if server == nil {
		c.leftOut("reading, keys and sample, which need it")
		return
	}
	c.database = server.Database
	if c.broken("source") {
		c.leftOut("reading, keys and sample, which need the section source of the configuration")
		return
	}
	c.group = groupReading
	start, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	from, err := readAs(start, c.cfg, zerolog.Nop())
	if err != nil {
		c.failure("store", "source", err)
		c.leftOut("keys and sample")
		return
	}
	from.options.Log = c.log
	r, err := source.Open(start, cfg, from.options)
	var refused *source.ConfigError
	switch {
	case errors.As(err, &refused) && refused.Code == "42501":
		c.group = groupSource
		c.failure("privileges", "source", err)
		c.leftOut("reading, keys and sample")
		return
	case err != nil:
		c.failure("query", "source", err)
		c.leftOut("keys and sample")
		return
	}
	defer r.Close()
	c.group = groupSource
	c.ok("privileges", "role %s may read all that the query reads", server.User)
	c.reading(ctx, r, from)
	c.keys(ctx, r, from)
}

// reading tells how the source is read.
func (c *checkup) reading(ctx context.Context, r *source.Reader, from *reading) {
	c.group = groupReading
	if store := from.plan.Store; store != nil {
		c.ok("store", "%s: %s", store.Title, from.plan.Match.Variant)
		for _, w := range from.plan.Warnings {
			c.warn("store", "", "%s", w)
		}
	}
	var columns []string
	for _, column := range r.Columns() {
		columns = append(columns, column.Name+" "+column.Type)
	}
	c.ok("columns", "%s", strings.Join(columns, ", "))
	c.paging(ctx, r)
}

func (c *checkup) paging(ctx context.Context, r *source.Reader) {
	p, err := r.Paging(ctx)
	switch {
	case err != nil:
		c.failure("paging", "source", err)
	case !p.Sorts:
		c.ok("paging", "about %d rows by the planner's statistics, and an index gives them in the order of their keys", p.Rows)
	case !p.Large():
		c.ok("paging", "about %d rows by the planner's statistics: so few may be sorted for each page", p.Rows)
	case p.Index != "":
		c.warn("paging", p.Index, "about %d rows by the planner's statistics, and every page would sort all that follow it: no index gives the order of the keys", p.Rows)
	default:
		c.warn("paging", "CREATE INDEX CONCURRENTLY on the columns or expressions that the query calls key and key_2, or choose a key that has one",
			"about %d rows by the planner's statistics, and every page would sort all that follow it: no index gives the order of the keys", p.Rows)
	}
}

// keys looks at the rows' keys and at those of the store's cipher, and then at a
// sample of rows.
func (c *checkup) keys(ctx context.Context, r *source.Reader, from *reading) {
	c.group = groupKeys
	if err := r.Check(ctx); err != nil {
		c.failure("null_keys", "source", err)
	} else {
		c.ok("null_keys", "no row's key is NULL")
	}
	rows, sampled := r.Sample(ctx, sampleRows)
	if sampled == nil {
		c.looks(rows)
	}
	c.decryption(ctx, r, from, rows)
	c.group = groupSample
	if sampled != nil {
		c.failure("sample", "source", sampled)
		return
	}
	c.sample(rows)
}

// looks warns of keys that should not be stored and printed.
func (c *checkup) looks(rows []source.Row) {
	looks := map[string]int{}
	for i := range rows {
		if what := rows[i].KeyLooks(); what != "" {
			looks[what]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(looks)) {
		c.warn("key_privacy", "choose a key that is none, such as the table's own id: keys are stored in the checkpoint and printed in reports and logs",
			"the keys of %d of the first %d rows look like %s", looks[what], len(rows), what)
	}
	if len(looks) == 0 {
		c.ok("key_privacy", "no key of the first %d rows looks like a credential or an e-mail address", len(rows))
	}
}

// decryption tells whether the cipher's keys are right.
func (c *checkup) decryption(ctx context.Context, r *source.Reader, from *reading, rows []source.Row) {
	if from.options.Open == nil {
		return
	}
	if err := r.CheckKeys(ctx); err != nil {
		c.failure("decryption", "source", err)
		return
	}
	decrypted, plain := 0, 0
	for i := range rows {
		decrypted, plain = decrypted+rows[i].Decrypted, plain+rows[i].Plain
	}
	switch {
	case decrypted > 0:
		c.ok("decryption", "the keys given open what is encrypted: %d values of the first %d rows; %d stand in the clear", decrypted, len(rows), plain)
	case plain > 0:
		c.ok("decryption", "no value of the first %d rows is encrypted; %d stand in the clear", len(rows), plain)
	default:
		c.warn("decryption", "", "no row of the sample has a value that could be opened, so that the keys given could not be tried")
	}
}

// sample tells what becomes of the first rows.
func (c *checkup) sample(rows []source.Row) {
	if len(rows) == 0 {
		c.warn("sample", "see whether query, where and source.params choose the right rows, and whether the role sees them", "the source has no rows")
		return
	}
	reasons, invalid := map[source.Reason]int{}, 0
	for i := range rows {
		reasons[rows[i].Reason]++
		if rows[i].Reason.Outcome() == "invalid" {
			invalid++
		}
	}
	text := fmt.Sprintf("of the first %s by key %d can be sent", plural(int64(len(rows)), "row"), reasons[""])
	var advice []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		if reason == "" {
			continue
		}
		text += fmt.Sprintf(", %d %s %s", reasons[reason], reason.Outcome(), reason)
		if words := sampleAdvice[reason]; words != "" {
			advice = append(advice, words)
		}
	}
	remedy := strings.Join(advice, "; ")
	switch {
	case invalid == len(rows):
		c.fail("sample", remedy, "%s", text)
	case invalid > 0:
		c.warn("sample", remedy, "%s", text)
	default:
		c.ok("sample", "%s", text)
	}
	c.showRows(rows)
	c.sampleConnectors(rows)
}

// sampleAdvice says what mends rows that are invalid.
var sampleAdvice = map[source.Reason]string{
	source.ReasonMissingAccessToken: "missing_access_token: leave these rows out with where, or correct the query",
	source.ReasonMissingSubject:     "missing_subject: give subject_id a value in every row",
	source.ReasonMissingExpiry:      "missing_expiry: say in source.missing_expiry how long such tokens last",
	source.ReasonInvalidExpiry:      "invalid_expiry: cast expires_at in the query",
	source.ReasonInvalidEnvironment: "invalid_environment: correct the column environment",
	source.ReasonUnknownProvider:    "unknown_provider: name the provider in destination.connectors, if only as skip",
	source.ReasonInvalidField:       "invalid_field: see the rows below",
	source.ReasonDecryptFailed:      "decrypt_failed: give the right keys in source.decrypt",
}

// showRows shows some rows, masked: the first ones, and the first of each outcome
// and connector.
func (c *checkup) showRows(rows []source.Row) {
	type kind struct {
		reason    source.Reason
		connector string
	}
	seen, shown := map[kind]bool{}, 0
	for i := range rows {
		row := &rows[i]
		k := kind{row.Reason, row.Connector}
		if shown == sampleMost || seen[k] && i >= sampleShown {
			continue
		}
		seen[k] = true
		shown++
		if row.Reason.Outcome() == "invalid" {
			c.warn("row", "", "%s", row.Mask())
		} else {
			c.ok("row", "%s", row.Mask())
		}
	}
}

// sampleConnectors keeps the connectors that rows name themselves, to ask the
// endpoint for. A token that a wrong query has put there must not leave.
func (c *checkup) sampleConnectors(rows []source.Row) {
	wrong := 0
	for i := range rows {
		row := &rows[i]
		switch name := row.Connector; {
		case row.Reason != "" || slices.Contains(c.connectors, name):
		case row.Resembles(name):
			wrong++
		default:
			c.connectors = append(c.connectors, name)
		}
	}
	if wrong > 0 {
		c.fail("connector_column", "correct the column connector in the query", "in %s the column connector holds a part of the row's own token", plural(int64(wrong), "row"))
	}
}
