package migrate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/migrate/connect/sandbox"
	"tokenmigrate/source"
)

// content is one state of one row: what would be sent of it. It never changes;
// a changed row has another content. Its id goes to the endpoint as
// externalSubject, so that the audit tells what each call carried.
type content struct {
	id           string // KEY@N
	key          string
	provider     string
	access       string // "": NULL
	refresh      string // "": NULL
	expires      string // Unix milliseconds as text; "": NULL
	refreshUntil int64  // Unix milliseconds; 0: NULL
	subject      string // "": NULL
	issuer       string
	environment  string // "": NULL
	installation string
	tenant       string
}

// Where the model's providers go. Others are unknown.
var modelRoutes = map[string]string{"slack": "slack/acme", "github": "scl_gh1", "linear": "linear/a b", "google": source.Skip}

// reason is why the source alone ends the row, or "".
func (c *content) reason(missingExpiry time.Duration) string {
	connector, known := modelRoutes[c.provider]
	switch {
	case !known:
		return "unknown_provider"
	case connector == source.Skip:
		return "excluded"
	case c.access == "":
		return "missing_access_token"
	case c.subject == "":
		return "missing_subject"
	case c.environment != "" && !connect.ValidEnvironment(c.environment):
		return "invalid_environment"
	case c.expires == "" && missingExpiry == 0:
		return "missing_expiry"
	}
	if _, err := strconv.Atoi(c.expires); c.expires != "" && err != nil {
		return "invalid_expiry"
	}
	return ""
}

// row is the content as the source must map it; its made-up expiry is of now.
func (c *content) row(missingExpiry time.Duration) source.Row {
	row := source.Row{Key: c.key, Connector: modelRoutes[c.provider], Token: connect.Token{
		AccessToken: connect.NewSecret(c.access), RefreshToken: connect.NewSecret(c.refresh), RefreshTokenExpiresAt: c.refreshUntil,
		Subject:     connect.Subject{Type: connect.SubjectUser, ID: c.subject, Issuer: c.issuer},
		Environment: c.environment, InstallationID: c.installation, Tenant: connect.Party{ID: c.tenant}, ExternalSubject: c.id,
	}}
	if row.Token.Environment == "" {
		row.Token.Environment = "production"
	}
	if c.expires == "" {
		row.MadeUpExpiry = true
		row.Token.ExpiresAt = time.Now().Add(missingExpiry).UnixMilli()
	} else {
		row.Token.ExpiresAt, _ = strconv.ParseInt(c.expires, 10, 64)
	}
	return row
}

// identity is what the endpoint keeps a valid content under.
func (c *content) identity() sandbox.Identity {
	environment := c.environment
	if environment == "" {
		environment = "production"
	}
	return sandbox.Identity{
		Connector: modelRoutes[c.provider], Environment: environment,
		Subject:      sandbox.Subject{Type: "user", ID: c.subject, Issuer: c.issuer},
		Installation: c.installation, Tenant: c.tenant,
	}
}

// fresh tells whether the access token is good at a moment.
func (c *content) fresh(at time.Time) bool {
	ms, _ := strconv.ParseInt(c.expires, 10, 64)
	return c.expires == "" || ms > at.UnixMilli()
}

// expired tells whether neither token is good now.
func (c *content) expired() bool {
	return !c.fresh(time.Now()) && (c.refresh == "" || c.refreshUntil != 0 && c.refreshUntil <= time.Now().UnixMilli())
}

// keyKind is a way to have keys.
type keyKind struct {
	name    string
	columns string // of the table
	query   string // how the query names them
	make    func(rnd *rand.Rand, n int) (key string, columns []any)
}

var keyKinds = []keyKind{
	{"bigint", "k bigint PRIMARY KEY, k2 text", "k AS key", func(_ *rand.Rand, n int) (string, []any) {
		n = n*7 - 300
		return strconv.Itoa(n), []any{n, nil}
	}},
	{"uuid", "k uuid PRIMARY KEY, k2 text", "k AS key", func(rnd *rand.Rand, _ int) (string, []any) {
		var id uuid.UUID
		for i := range id {
			id[i] = byte(rnd.Uint32())
		}
		return id.String(), []any{id, nil}
	}},
	{"text", "k text PRIMARY KEY, k2 text", "k AS key", func(rnd *rand.Rand, n int) (string, []any) {
		key := []string{"", "%", "a/b ", "Ü", `"q"`, "Z'"}[rnd.IntN(6)] + strconv.Itoa(n)
		return key, []any{key, nil}
	}},
	{"composite", "k text, k2 bigint, PRIMARY KEY (k, k2)", "k AS key, k2 AS key_2", func(rnd *rand.Rand, n int) (string, []any) {
		first := []string{"slack", "a/b", "50%", "é"}[rnd.IntN(4)]
		return strings.NewReplacer("%", "%25", "/", "%2F").Replace(first) + "/" + strconv.Itoa(n), []any{first, n}
	}},
}

// modelSource is the source table and what stands in it, now and before. Its
// methods may be called while a run reads.
type modelSource struct {
	db            *pgx.Conn
	rnd           *rand.Rand
	keys          keyKind
	missingExpiry time.Duration
	oversized     bool // some tokens are larger than any chunk may be
	settled       bool // no row moves to another connector or environment
	crowd         int  // most rows are for one of so few people; 0: each for another one

	mu    sync.Mutex
	rows  map[string]*content // by key
	ids   map[string][]any    // key columns, by key
	ever  map[string]*content // all contents, by id
	log   []string
	gone  map[string]*content                  // deleted, by key
	taken map[sandbox.Identity]map[string]bool // keys that ever had it
	next  int

	// Since watch was called: keys that were there, keys there throughout, and keys
	// whose rows were written.
	seen, throughout, written map[string]bool
}

func newModelSource(ctx context.Context, db *pgx.Conn, rnd *rand.Rand, rows int) (*modelSource, error) {
	s := &modelSource{
		db: db, rnd: rnd, keys: keyKinds[rnd.IntN(len(keyKinds))], oversized: rnd.IntN(3) == 0,
		rows: map[string]*content{}, ids: map[string][]any{}, ever: map[string]*content{}, gone: map[string]*content{}, taken: map[sandbox.Identity]map[string]bool{},
	}
	if rnd.IntN(2) == 0 {
		s.missingExpiry = 100 * 24 * time.Hour
	}
	if rnd.IntN(3) == 0 {
		s.crowd = 3 + rnd.IntN(1+rows/3)
	}
	_, err := db.Exec(ctx, `CREATE TABLE accounts (`+s.keys.columns+`, provider text, access text, refresh text, expires text,
		refresh_until bigint, subject text, issuer text, environment text, installation text, tenant text, id text)`)
	for range rows {
		if err == nil {
			err = s.insert(ctx)
		}
	}
	s.watch()
	return s, err
}

func (s *modelSource) options(pageSize int) source.Options {
	return source.Options{
		Query: `SELECT ` + s.keys.query + `, provider, access AS access_token, refresh AS refresh_token, expires AS expires_at,
			refresh_until AS refresh_token_expires_at, subject AS subject_id, issuer AS subject_issuer, environment,
			installation AS installation_id, tenant, id AS external_subject FROM accounts`,
		Routes: source.Routes{ByProvider: modelRoutes}, PageSize: pageSize,
		MissingExpiry: source.MissingExpiry{Default: s.missingExpiry},
	}
}

// watch begins to note which keys are there.
func (s *modelSource) watch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.throughout, s.written = map[string]bool{}, map[string]bool{}, map[string]bool{}
	for key := range s.rows {
		s.seen[key], s.throughout[key] = true, true
	}
}

// watched returns how many rows a walk since watch must have read at least and
// at most.
func (s *modelSource) watched() (least, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.throughout), len(s.seen)
}

// changed reports whether a row was written since watch.
func (s *modelSource) changed(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written[key]
}

// snapshot returns what stands in the table.
func (s *modelSource) snapshot() map[string]*content {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]*content, len(s.rows))
	for key, c := range s.rows {
		out[key] = c
	}
	return out
}

// byID returns the content that was called so.
func (s *modelSource) byID(id string) *content {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ever[id]
}

// mutate changes one row at random.
func (s *modelSource) mutate(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var key string
	if all := sortedKeys(s.rows); len(all) > 0 {
		key = all[s.rnd.IntN(len(all))]
	}
	switch n := s.rnd.IntN(20); {
	case n < 4 || key == "":
		return s.insert(ctx)
	case n < 7:
		return s.remove(ctx, key)
	case n < 10:
		return s.revert(ctx, key)
	}
	c := *s.rows[key]
	switch s.rnd.IntN(6) {
	case 0: // somebody else's now
		fresh := s.content(key)
		c.subject, c.provider = fresh.subject, fresh.provider
	case 1:
		c = *s.content(key)
	default: // refreshed
		c.access, c.refresh = "at-"+s.text(), "rt-"+s.text()
	}
	if was := s.rows[key]; s.settled {
		c.provider, c.environment = was.provider, was.environment
	}
	return s.put(ctx, &c, false)
}

// revert gives a row a content back that it had.
func (s *modelSource) revert(ctx context.Context, key string) error {
	var had []*content
	for _, id := range sortedKeys(s.ever) {
		if c := s.ever[id]; c.key == key && c != s.rows[key] {
			had = append(had, c)
		}
	}
	if len(had) == 0 {
		return nil
	}
	return s.put(ctx, had[s.rnd.IntN(len(had))], true)
}

func (s *modelSource) text() string { return strconv.FormatUint(s.rnd.Uint64(), 36) }

// insert adds a row with a new key, or one that was deleted as it was.
func (s *modelSource) insert(ctx context.Context) error {
	var c *content
	var key string
	if gone := sortedKeys(s.gone); len(gone) > 0 && s.rnd.IntN(2) == 0 {
		key = gone[s.rnd.IntN(len(gone))]
		c = s.gone[key]
		delete(s.gone, key)
	} else {
		s.next++
		var columns []any
		key, columns = s.keys.make(s.rnd, s.next)
		s.ids[key] = columns
	}
	if _, err := s.db.Exec(ctx, `INSERT INTO accounts (k, k2) VALUES ($1, $2)`, s.ids[key]...); err != nil {
		return err
	}
	if s.seen != nil {
		s.seen[key] = true
	}
	if c != nil {
		return s.put(ctx, c, true)
	}
	return s.put(ctx, s.content(key), false)
}

func (s *modelSource) remove(ctx context.Context, key string) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM accounts WHERE k = $1 AND k2 IS NOT DISTINCT FROM $2`, s.ids[key]...); err != nil {
		return err
	}
	s.log = append(s.log, "deleted "+s.rows[key].id)
	s.gone[key] = s.rows[key]
	delete(s.rows, key)
	delete(s.throughout, key)
	return nil
}

// put writes a content; unless it is a known one it gets an id of its own.
func (s *modelSource) put(ctx context.Context, c *content, known bool) error {
	if !known {
		s.next++
		c.id = c.key + "@" + strconv.Itoa(s.next)
	}
	null := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	_, err := s.db.Exec(ctx, `UPDATE accounts SET provider = $3, access = $4, refresh = $5, expires = $6, refresh_until = nullif($7::bigint, 0),
			subject = $8, issuer = $9, environment = $10, installation = $11, tenant = $12, id = $13
		WHERE k = $1 AND k2 IS NOT DISTINCT FROM $2`,
		append(slices.Clone(s.ids[c.key]), c.provider, null(c.access), null(c.refresh), null(c.expires), c.refreshUntil,
			null(c.subject), null(c.issuer), null(c.environment), null(c.installation), null(c.tenant), c.id)...)
	if err != nil {
		return err
	}
	s.rows[c.key], s.ever[c.id] = c, c
	if s.written != nil {
		s.written[c.key] = true
	}
	if s.taken[c.identity()] == nil {
		s.taken[c.identity()] = map[string]bool{}
	}
	s.taken[c.identity()][c.key] = true
	s.log = append(s.log, fmt.Sprintf("wrote %s: %s %q expires %q reason %q", c.id, c.provider, c.subject, c.expires, c.reason(s.missingExpiry)))
	return nil
}

// content makes up what a row holds: mostly a valid token, of some user.
func (s *modelSource) content(key string) *content {
	now := time.Now()
	ms := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).UnixMilli(), 10) }
	c := &content{
		key: key, provider: []string{"slack", "slack", "slack", "github", "linear"}[s.rnd.IntN(5)],
		access: "at-" + s.text(), refresh: "rt-" + s.text(), expires: ms(time.Hour), subject: "u" + s.text(),
	}
	switch n := s.rnd.IntN(100); {
	case n < 2:
		c.provider = "google"
	case n < 4:
		c.provider = "myspace"
	case n < 6:
		c.access = ""
	case n < 8:
		c.subject = ""
	case n < 10:
		c.environment = "staging"
	case n < 12:
		c.expires = "soon"
	case n < 18:
		c.expires = ""
	case n < 24:
		c.expires, c.refresh = ms(-time.Hour), ""
	case n < 27:
		c.expires, c.refreshUntil = ms(-time.Hour), now.Add(-time.Minute).UnixMilli()
	case n < 33:
		c.expires = ms(-time.Hour) // to be refreshed
	case n < 37:
		c.subject = "refused-" + s.text()
	case n < 38:
		c.subject = "rejected-" + s.text()
	case n < 40 && s.oversized:
		c.access += strings.Repeat("x", modelMaxBytes)
	case n < 52:
		s.resemble(c)
	}
	if s.crowd > 0 && c.subject != "" && s.rnd.IntN(5) > 0 {
		c.provider, c.subject = "slack", s.somebody()
	}
	return c
}

// somebody returns one of a crowd, of whom the endpoint refuses one and rejects another.
func (s *modelSource) somebody() string {
	n := s.rnd.IntN(s.crowd)
	return []string{"refused-", "rejected-", "p"}[min(n, 2)] + strconv.Itoa(n)
}

// resemble makes the content one for the same identity as another row's, or for
// one that differs in a single part.
func (s *modelSource) resemble(c *content) {
	rows := s.rows
	if len(s.gone) > 0 && s.rnd.IntN(2) == 0 { // which may come back
		rows = s.gone
	}
	all := sortedKeys(rows)
	if len(all) == 0 {
		return
	}
	like := rows[all[s.rnd.IntN(len(all))]]
	c.provider, c.subject, c.issuer, c.environment, c.installation, c.tenant = like.provider, like.subject, like.issuer, like.environment, like.installation, like.tenant
	switch s.rnd.IntN(10) {
	case 0:
		c.issuer = "issuer-" + s.text()
	case 1:
		c.environment = "preview"
	case 2:
		c.installation = "inst-" + s.text()
	case 3:
		c.tenant = "tenant-" + s.text()
	case 4:
		c.provider = "github"
	}
}
