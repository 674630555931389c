package migrate

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"tokenmigrate/checkpoint"
	"tokenmigrate/checkpoint/localpg"
	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
)

func TestMain(m *testing.M) {
	// Tests that take long mostly wait, for a pace or a database; a few more of
	// them than a small machine has processors may do so at once.
	flag.Parse()
	if n := flag.Lookup("test.parallel"); n.Value.String() == n.DefValue && runtime.GOMAXPROCS(0) < 4 {
		_ = flag.Set("test.parallel", "4")
	}
	os.Exit(localpg.Main(m.Run, func() error { return goleak.Find() }))
}

// The moment at which rows are judged where no clock runs, and two others.
var (
	noon   = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	before = noon.Add(-time.Hour).UnixMilli()
	after  = noon.Add(time.Hour).UnixMilli()
)

const slack = "slack/acme"

// userToken is a user's token that is good until after.
func userToken(user string) connect.Token {
	return connect.Token{
		AccessToken: connect.NewSecret("at-" + user), RefreshToken: connect.NewSecret("rt-" + user),
		ExpiresAt: after, Environment: "production",
		Subject: connect.Subject{Type: connect.SubjectUser, ID: user},
	}
}

// userRow is a valid row of key with the token of user, and the changes.
func userRow(key, user string, change ...func(*source.Row)) source.Row {
	row := source.Row{Key: key, Connector: slack, Token: userToken(user)}
	for _, c := range change {
		c(&row)
	}
	return row
}

func testHasher() *hasher { return newHasher([]byte("a fixed key for tests"), "api.example/team") }

// itemOf is a row as the judge makes an item of it.
func itemOf(row source.Row) *item {
	j := judge{hash: testHasher()}
	return j.item(&row, j.hash.marks([]source.Row{row})[0])
}

// numberedItem is an item that is told from others by n, of size bytes.
func numberedItem(connector string, n, size int) *item {
	it := &item{key: strconv.Itoa(n), connector: connector, size: size, token: userToken("u" + strconv.Itoa(n))}
	it.identity[0], it.identity[1], it.identity[2], it.identity[3] = hashVersion, byte(n), byte(n>>8), byte(n>>16)
	it.fingerprint = it.identity
	return it
}

func hashOf(b byte) checkpoint.Hash { return checkpoint.Hash{hashVersion, b} }

// again is an error of a database that is away, stopped one that stays.
var (
	again   = fmt.Errorf("somewhere: %w", &pgerr.Error{Op: "test", Text: "the server is away", Class: pgerr.Again})
	stopped = &pgerr.Error{Op: "test", Text: "permission denied", Code: "42501", Class: pgerr.Stop}
)

// memory is a checkpoint and a source in memory, as the judge asks them.
type memory struct {
	priors  map[string]checkpoint.Prior
	owners  map[checkpoint.Hash]string
	rows    map[string]source.Row
	reread  [][]string // the keys of each reading
	pages   []string   // that were looked up
	failing error
	looked  func() // called once owners were looked up; nil: not
}

func newMemory() *memory {
	return &memory{priors: map[string]checkpoint.Prior{}, owners: map[checkpoint.Hash]string{}, rows: map[string]source.Row{}}
}

func (m *memory) Priors(_ context.Context, _ int64, asked []checkpoint.Asked) ([]checkpoint.Prior, error) {
	priors := make([]checkpoint.Prior, len(asked))
	for i := range asked {
		priors[i] = m.priors[asked[i].Key]
	}
	return priors, m.failing
}

func (m *memory) PagePriors(ctx context.Context, migration, run int64, shard, number int, asked []checkpoint.Asked) ([]checkpoint.Prior, *checkpoint.Page, error) {
	m.pages = append(m.pages, fmt.Sprintf("migration %d run %d shard %d page %d", migration, run, shard, number))
	priors, err := m.Priors(ctx, migration, asked)
	return priors, &checkpoint.Page{Number: number}, err
}

func (m *memory) Owners(_ context.Context, _ int64, identities []checkpoint.Hash) (checkpoint.Owners, error) {
	owners := checkpoint.Owners{Sent: map[checkpoint.Hash][]string{}}
	for _, identity := range identities {
		if key, ok := m.owners[identity]; ok {
			owners.Sent[identity] = []string{key}
		}
	}
	if m.looked != nil {
		m.looked()
	}
	return owners, m.failing
}

func (m *memory) Rows(_ context.Context, keys []string) ([]source.Row, error) {
	m.reread = append(m.reread, slices.Sorted(slices.Values(keys)))
	var rows []source.Row
	for _, key := range keys {
		if row, ok := m.rows[key]; ok {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// imported notes a row as imported by an earlier run.
func (m *memory) imported(row source.Row) {
	it := itemOf(row)
	m.priors[row.Key] = checkpoint.Prior{Outcome: checkpoint.Imported, Fingerprint: it.fingerprint, Imported: it.fingerprint, RunID: 1}
	m.owners[it.identity] = row.Key
	m.rows[row.Key] = row
}

// walker reads rows page by page.
type walker struct {
	rows []source.Row
	page int
	next int
}

func (w *walker) CheckKeys(context.Context) error { return nil }

func (w *walker) Check(context.Context) error { w.next = 0; return nil }

func (w *walker) Estimate(context.Context) (int64, error) { return int64(len(w.rows)), nil }

func (w *walker) Page(context.Context, source.Cursor) (source.Page, error) {
	end := min(w.next+w.page, len(w.rows))
	page := source.Page{Rows: w.rows[w.next:end], End: end == len(w.rows), ReadAt: noon}
	w.next = end
	return page, nil
}

// testPass is a pass over memory, without an endpoint.
func testPass(o *Options, m *memory, rows []source.Row, page int) *pass {
	o.Log, o.now = zerolog.Nop(), time.Now
	p := newPass(o, checkpoint.Migration{ID: 1, FingerprintKey: []byte("a fixed key for tests")}, 7, nil, nil)
	p.src, p.rereads = &walker{rows: rows, page: page}, m
	p.judge.known, p.judge.reread = m, m
	p.judge.now = func() time.Time { return noon }
	p.now = p.judge.now
	return p
}

// waits adds up what was waited for, by cause; not safe for concurrent use.
type waits map[string]float64

func (w waits) add(cause string, seconds float64) { w[cause] += seconds }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
