package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tokenmigrate/migrate"
	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

const (
	// checkPatience is how long one statement may take on the source: a person waits.
	// A run gives it source.DefaultStatementTimeout.
	checkPatience = 15 * time.Second

	sampleRows  = 1000 // rows that are mapped
	sampleShown = 5    // of them, at least as far as there are some
	sampleMost  = 10   // and at most, so that each outcome is shown once

	connectorsOfRows  = 10 // that rows name themselves and the endpoint is asked for
	ownConnectorsFrom = 10 // rows, of which it tells something that each names another
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
	start, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	from, err := readAs(start, c.cfg, zerolog.Nop())
	if err != nil {
		c.failure("store", "source", err)
		c.leftOut("keys and sample")
		return
	}
	c.stored = from.plan.Tables()
	from.options.Log, from.options.StatementTimeout = c.log, checkPatience
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
	c.sample(ctx, rows)
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
		c.opaque(rows)
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

// opaque warns where tokens that nothing opens look like ciphertexts without a sign
// of their own: they would be sent as they are.
func (c *checkup) opaque(rows []source.Row) {
	var seen cipher.Bytes
	for i := range rows {
		if !rows[i].Token.AccessToken.Empty() {
			seen.Add(rows[i].Token.AccessToken.Reveal())
		}
	}
	if n, likely := seen.Likely(); likely {
		c.warn("decryption", "if they are encrypted, name the store that opens them, see `tokenmigrate stores`; if not, go on",
			"%s of the first %s are base64 of bytes that are no text, as encrypted ones are", plural(int64(n), "access token"), plural(int64(len(rows)), "row"))
	}
}

// sample tells what becomes of the first rows, in a run that begins with them.
func (c *checkup) sample(ctx context.Context, rows []source.Row) {
	if len(rows) == 0 {
		c.warn("sample", "see whether query, where and source.params choose the right rows, and whether the role sees them", "the source has no rows")
		return
	}
	bytes := c.cfg.Send.ChunkBytes
	if c.broken("send") {
		bytes = math.MaxInt
	}
	endings, err := migrate.Preview(ctx, migrate.Options{Policy: policyOf(c.cfg), ChunkBytes: bytes}, rows)
	if err != nil {
		c.failure("sample", "source", err)
		return
	}
	counts, outcomes := map[migrate.Ending]int{}, map[string]int{}
	for _, e := range endings {
		counts[e]++
		outcomes[e.Outcome]++
	}
	text := fmt.Sprintf("of the first %s by key %d can be sent", plural(int64(len(rows)), "row"), outcomes[""])
	var advice []string
	for _, e := range slices.SortedFunc(maps.Keys(counts), func(a, b migrate.Ending) int { return strings.Compare(a.Reason, b.Reason) }) {
		if e.Outcome == "" {
			continue
		}
		text += fmt.Sprintf(", %d %s %s", counts[e], e.Outcome, e.Reason)
		if words := sampleAdvice[e.Reason]; words != "" {
			advice = append(advice, words)
		}
	}
	remedy := strings.Join(advice, "; ")
	switch invalid := outcomes["invalid"]; {
	case invalid > 0 && outcomes[""] == 0: // what is not invalid is left out: nothing would be sent
		c.fail("sample", remedy, "%s", text)
	case invalid > 0, outcomes[""] == 0:
		c.warn("sample", remedy, "%s", text)
	default:
		c.ok("sample", "%s", text)
	}
	c.sampleConnectors(rows)
	c.showRows(rows, endings)
}

// sampleAdvice says what mends rows that would not be sent, by their reason.
var sampleAdvice = map[string]string{
	string(source.ReasonMissingAccessToken): "missing_access_token: leave these rows out with where, or correct the query",
	string(source.ReasonMissingSubject):     "missing_subject: give subject_id a value in every row",
	string(source.ReasonMissingExpiry):      "missing_expiry: say in source.missing_expiry how long such tokens last",
	string(source.ReasonInvalidExpiry):      "invalid_expiry: cast expires_at in the query",
	string(source.ReasonInvalidEnvironment): "invalid_environment: correct the column environment",
	string(source.ReasonUnknownProvider):    "unknown_provider: name the provider in destination.connectors, if only as skip",
	string(source.ReasonInvalidField):       "invalid_field: see the rows below",
	string(source.ReasonDecryptFailed):      "decrypt_failed: give the right keys in source.decrypt, and see what source.params says of the cipher (of node-aes: layout, derive, algorithm)",
	"expired":                               "expired: policy.expired: send sends such tokens all the same",
	"too_large":                             "too_large: see whether access_token is what is meant, or raise send.chunk_bytes",
	"duplicate":                             "duplicate: choose the newest row of each subject in the query, or see policy.duplicates",
}

// showRows shows some rows, masked: the first ones, and the first of each ending
// and connector. A connector that may be a token is not shown.
func (c *checkup) showRows(rows []source.Row, endings []migrate.Ending) {
	type kind struct {
		reason    string
		connector string
	}
	seen, shown := map[kind]bool{}, 0
	for i := range rows {
		row := rows[i]
		if !c.mayTell(row.Connector) {
			row.Connector = ""
		}
		k := kind{endings[i].Reason, row.Connector}
		if shown == sampleMost || seen[k] && i >= sampleShown {
			continue
		}
		seen[k] = true
		shown++
		text := row.Mask()
		if row.Reason == "" && endings[i].Outcome != "" {
			text += "; " + endings[i].Outcome + " " + endings[i].Reason
		}
		if endings[i].Outcome == "invalid" {
			c.warn("row", "", "%s", text)
		} else {
			c.ok("row", "%s", text)
		}
	}
}

// connectorShape is how connectors are called: by their id, or by their uid.
var connectorShape = regexp.MustCompile(`^(scl_[A-Za-z0-9]{1,64}|[a-z0-9][a-z0-9._-]{0,62}/[a-z0-9][a-z0-9._-]{0,62})$`)

// configured reports whether the configuration names a connector.
func (c *checkup) configured(name string) bool {
	d := &c.cfg.Destination
	if name == d.Connector {
		return true
	}
	for _, known := range d.Connectors {
		if name == known {
			return true
		}
	}
	return false
}

// mayTell reports whether a row's connector may be shown: one that the
// configuration names, or that is called as connectors are in a column that does
// not differ from row to row.
func (c *checkup) mayTell(name string) bool {
	return c.configured(name) || !c.ownConnectors && connectorShape.MatchString(name)
}

// sampleConnectors keeps the connectors that rows name themselves, to ask the
// endpoint for. A token that a wrong query has put there must not leave, be it of
// a column that the query reads or of another.
func (c *checkup) sampleConnectors(rows []source.Row) {
	wrong, strange, total := 0, 0, 0
	named := map[string]bool{}
	var names []string // those to ask for, as they come
	for i := range rows {
		row := &rows[i]
		name := row.Connector
		if row.Reason != "" || c.configured(name) {
			continue
		}
		total++
		switch {
		case row.Resembles(name):
			wrong++
		case !connectorShape.MatchString(name):
			strange++
		case !named[name]:
			names = append(names, name)
		}
		named[name] = true
	}
	const remedy = "correct the column connector in the query"
	c.ownConnectors = total >= ownConnectorsFrom && len(named)*10 >= total*9
	switch {
	case wrong > 0:
		c.fail("connector_column", remedy, "in %s the column connector holds a part of the row's own token", plural(int64(wrong), "row"))
	case c.ownConnectors && strange > 0:
		c.fail("connector_column", remedy, "nearly every row names a connector of its own, %d in %d rows, and %d are called as no connector is (scl_..., or service/name)", len(named), total, strange)
	case strange > 0:
		c.warn("connector_column", remedy+" if it holds anything else", "in %s the column connector holds what no connector is called (scl_..., or service/name); the endpoint is not asked for these", plural(int64(strange), "row"))
	case c.ownConnectors:
		c.warn("connector_column", remedy+" if that is not meant", "nearly every row names a connector of its own, %d in %d rows; the endpoint is not asked for them", len(named), total)
	}
	if c.ownConnectors {
		return
	}
	if len(names) > connectorsOfRows {
		c.warn("connector_column", "", "rows name %d connectors; the endpoint is asked for the first %d", len(names), connectorsOfRows)
		names = names[:connectorsOfRows]
	}
	c.connectors = names
}
