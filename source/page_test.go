package source

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// keyTables are tables of 25 rows with each kind of key, and the query's key
// columns.
var keyTables = []struct {
	name, table, keys string
	composite         bool
}{
	{"smallint", "CREATE TABLE t AS SELECT (i * 7 - 90)::smallint AS a FROM generate_series(1, 25) i", "a AS key", false},
	{"integer", "CREATE TABLE t AS SELECT i * 7 - 90 AS a FROM generate_series(1, 25) i", "a AS key", false},
	{"bigint", "CREATE TABLE t AS SELECT i * 123456789012 AS a FROM generate_series(-12, 12) i", "a AS key", false},
	{"uuid", "CREATE TABLE t AS SELECT md5(i::text)::uuid AS a FROM generate_series(1, 25) i", "a AS key", false},
	{"text", `CREATE TABLE t AS SELECT CASE i % 5 WHEN 0 THEN '' WHEN 1 THEN '%' WHEN 2 THEN '/"\{},' WHEN 3 THEN 'é ' ELSE 'Z' END || CASE WHEN i < 5 THEN '' ELSE i::text END AS a FROM generate_series(0, 24) i`, "a AS key", false},
	{"varchar", "CREATE TABLE t AS SELECT ('k' || i)::varchar(9) AS a FROM generate_series(1, 25) i", "a AS key", false},
	{"char", "CREATE TABLE t AS SELECT ('k' || i)::char(9) AS a FROM generate_series(1, 25) i", "a AS key", false},
	{"name", "CREATE TABLE t AS SELECT ('k' || i)::name AS a FROM generate_series(1, 25) i", "a AS key", false},
	{"domain", "CREATE DOMAIN d AS text; CREATE TABLE t AS SELECT ('k' || i)::d AS a FROM generate_series(1, 25) i", "a AS key", false},
	{"other collation", `CREATE TABLE t AS SELECT ('k' || i) COLLATE "C" AS a FROM generate_series(1, 25) i`, "a AS key", false},
	{"composite", "CREATE TABLE t AS SELECT 'p/' || i % 3 AS a, i AS b FROM generate_series(1, 25) i", "a AS key, b AS key_2", true},
	{"composite uuid", "CREATE TABLE t AS SELECT i % 2 AS a, md5(i::text)::uuid AS b FROM generate_series(1, 25) i", "a AS key, b AS key_2", true},
	{"composite text", `CREATE TABLE t AS SELECT chr(37 + i % 12) AS a, '/%' || i AS b FROM generate_series(1, 25) i`, "b AS key_2, a AS key", true},
}

// wantedKeys returns the key texts of table t in the database's order, made by
// SQL of its own.
func (db *database) wantedKeys(composite bool) []string {
	db.t.Helper()
	sql := "SELECT a::text FROM t ORDER BY t.a"
	if composite {
		sql = `SELECT replace(replace(a::text, '%', '%25'), '/', '%2F') || '/' || replace(replace(b::text, '%', '%25'), '/', '%2F') FROM t ORDER BY t.a, t.b`
	}
	rows, err := db.Query(db.t.Context(), sql)
	if err != nil {
		db.t.Fatal(err)
	}
	defer rows.Close()
	var keys []string
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			db.t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if len(keys) != 25 {
		db.t.Fatalf("the test's table has %d rows, want 25", len(keys))
	}
	return keys
}

func TestReader_PagesOverEveryKindOfKey(t *testing.T) {
	for _, table := range keyTables {
		t.Run(table.name, func(t *testing.T) {
			db := newDatabase(t, table.table)
			want := db.wantedKeys(table.composite)
			query := "SELECT " + table.keys + ", 'at' AS access_token, 'u' AS subject_id, 1800000000 AS expires_at FROM t"
			for _, size := range []int{1, 2, 3, 24, 25, 26, 1000} {
				r := db.open(Options{Query: query, PageSize: size})
				if err := r.Check(t.Context()); err != nil {
					t.Errorf("check: %v", err)
				}
				rows, err := walkAll(t, r)
				if err != nil {
					t.Fatalf("page size %d: %v", size, err)
				}
				wantKeys(t, rows, want)
				if size > 3 {
					again, err := r.Rows(t.Context(), append(want, "no such key", "x/y", "", want[0]))
					if err != nil {
						t.Fatalf("read again: %v", err)
					}
					got, sorted := keysOf(again), slices.Clone(want)
					slices.Sort(got)
					slices.Sort(sorted)
					if !slices.Equal(got, sorted) {
						t.Errorf("read again: got %q, want %q", got, sorted)
					}
				}
				r.Close()
			}
			// Shards part the rows.
			var all []string
			for shard := range 3 {
				r := db.open(Options{Query: query, Shard: shard, Shards: 3})
				rows, err := walkAll(t, r)
				if err != nil {
					t.Fatal(err)
				}
				for _, key := range keysOf(rows) {
					var of int
					if err := db.QueryRow(t.Context(), `SELECT ((hashtextextended($1::text COLLATE "C", 0) % 3) + 3) % 3`, key).Scan(&of); err != nil || of != shard {
						t.Errorf("shard %d has key %q, which the hash of its text puts into %d (%v)", shard, key, of, err)
					}
				}
				if len(rows) == 25 {
					t.Errorf("shard %d has all rows", shard)
				}
				all = append(all, keysOf(rows)...)
				r.Close()
			}
			slices.Sort(all)
			sorted := slices.Sorted(slices.Values(want))
			if !slices.Equal(all, sorted) {
				t.Errorf("shards together: got %q, want %q", all, sorted)
			}
		})
	}
}

func TestReader_ReadsNoRows(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts (id int PRIMARY KEY)")
	r := db.open(Options{Query: accounts})
	page, err := r.Page(t.Context(), Cursor{})
	if err != nil || len(page.Rows) > 0 || !page.End || !page.Next.IsZero() {
		t.Errorf("got %+v, %v, want an empty end", page, err)
	}
	if rows, err := r.Rows(t.Context(), nil); len(rows) > 0 || err != nil {
		t.Errorf("no keys: got %v, %v, want nothing", rows, err)
	}
}

func TestReader_WhereChoosesRows(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts AS SELECT i AS id FROM generate_series(1, 9) i")
	r := db.open(Options{Query: accounts + " -- all\n;", Where: "key > 6 OR subject_id = 'u-2' -- or so", PageSize: 2})
	rows, err := walkAll(t, r)
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, rows, []string{"2", "7", "8", "9"})
	if again, err := r.Rows(t.Context(), []string{"1", "2"}); err != nil || !slices.Equal(keysOf(again), []string{"2"}) {
		t.Errorf("read again: got %q, %v, want 2 alone", keysOf(again), err)
	}
}

// TestReader_TellsRepeatedKeys puts the pair of equal keys at every place
// relative to the pages' edges.
func TestReader_TellsRepeatedKeys(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts (id int)", "CREATE TABLE pairs (a text, b uuid)")
	for _, size := range []int{1, 2, 3, 4, 1000} {
		for at := 1; at <= 9; at++ {
			db.exec("TRUNCATE accounts, pairs",
				fmt.Sprintf("INSERT INTO accounts SELECT generate_series(1, 9) UNION ALL SELECT %d", at),
				"INSERT INTO pairs SELECT 'p' || id % 2, md5((id / 2)::text)::uuid FROM accounts")
			r := db.open(Options{Query: accounts, PageSize: size})
			_, err := walkAll(t, r)
			wantConfigError(t, err, fmt.Sprintf(`key "%d" stands for more than one row`, at))
			if _, err := r.Rows(t.Context(), []string{strconv.Itoa(at)}); err == nil {
				t.Errorf("read again: got no error for the repeated key")
			}
			r.Close()
			r = db.open(Options{Query: "SELECT a AS key, b AS key_2, 'at' AS access_token, 'u' AS subject_id FROM pairs", PageSize: size})
			_, err = walkAll(t, r)
			wantConfigError(t, err, fmt.Sprintf(`key "p%d/`, at%2), "stands for more than one row", "key_2")
			r.Close()
		}
	}
}

// TestReader_TellsAKeyRepeatedBehindIt: the second row of a key comes after the
// page that ended with the first.
func TestReader_TellsAKeyRepeatedBehindIt(t *testing.T) {
	for query, twin := range map[string]string{
		accounts: "INSERT INTO accounts VALUES (3, 'p')",
		strings.Replace(accounts, "id AS key", "p AS key, id AS key_2", 1): "INSERT INTO accounts VALUES (3, 'p')",
	} {
		db := newDatabase(t, "CREATE TABLE accounts AS SELECT i AS id, 'p' AS p FROM generate_series(1, 9) i")
		r := db.open(Options{Query: query, PageSize: 3})
		page, err := r.Page(t.Context(), Cursor{})
		if err != nil || len(page.Rows) != 3 {
			t.Fatalf("got %d rows, %v, want 3", len(page.Rows), err)
		}
		db.exec(twin)
		_, err = r.Page(t.Context(), page.Next)
		wantConfigError(t, err, "3\" stands for more than one row")
	}
}

func TestReader_TellsNullKeys(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE t (a int, b text)", "INSERT INTO t VALUES (1, 'x'), (NULL, 'lost'), (2, 'y'), (NULL, 'also')")
	const rest = ", 'at' AS access_token, 'u' AS subject_id FROM t"
	one := db.open(Options{Query: "SELECT a AS key" + rest})
	wantConfigError(t, one.Check(t.Context()), "column key is NULL in 2 rows;", "where: key IS NOT NULL")
	_, err := walkAll(t, one)
	wantConfigError(t, err, "column key is NULL in a row", `behind key "2"`)

	first := db.open(Options{Query: "SELECT a AS key, b AS key_2" + rest})
	wantConfigError(t, first.Check(t.Context()), `column key is NULL in 2 rows (for example with key_2 "also")`)
	second := db.open(Options{Query: "SELECT b AS key, a AS key_2" + rest})
	wantConfigError(t, second.Check(t.Context()), `column key_2 is NULL in 2 rows (for example with key "also")`)
	// With where, as the remedy says.
	if err := db.open(Options{Query: "SELECT a AS key" + rest, Where: "key IS NOT NULL"}).Check(t.Context()); err != nil {
		t.Errorf("check without the rows: got %v, want no error", err)
	}
}

func TestReader_EndsAPageAtItsBytes(t *testing.T) {
	// 30 rows of 600 kB: six fit into a page. A row of 5 MB is a page of its own.
	db := newDatabase(t, `CREATE TABLE accounts AS SELECT i AS id, repeat(md5(i::text), CASE i WHEN 20 THEN 160000 ELSE 19000 END) AS at FROM generate_series(1, 30) i`)
	r := db.open(Options{Query: "SELECT id AS key, at AS access_token, 'u' AS subject_id, 1800000000 AS expires_at FROM accounts"})
	var after Cursor
	var keys []string
	for pages := 0; ; pages++ {
		page, err := r.Page(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, row := range page.Rows {
			size += len(row.Token.AccessToken.Reveal())
		}
		if size > PageBytes && len(page.Rows) > 1 || len(page.Rows) > 6 {
			t.Errorf("page %d: got %d rows of %d bytes, want at most %d bytes", pages, len(page.Rows), size, PageBytes)
		}
		keys = append(keys, keysOf(page.Rows)...)
		if pages == 1 && r.limit.rows() > 6 {
			t.Errorf("after a page full of bytes the next asks for %d rows, want at most 6", r.limit.rows())
		}
		after = page.Next
		if page.End {
			break
		}
		if pages > 40 {
			t.Fatal("the walk does not end")
		}
	}
	var want []string
	for i := 1; i <= 30; i++ {
		want = append(want, strconv.Itoa(i))
	}
	if !slices.Equal(keys, want) {
		t.Errorf("got keys %q, want 1 to 30", keys)
	}
}

func TestLimiter_FollowsTheSizeOfRows(t *testing.T) {
	l := newLimiter(1000, false)
	check := func(what string, want int) {
		t.Helper()
		if got := l.rows(); got != want {
			t.Errorf("%s: got %d rows, want %d", what, got, want)
		}
	}
	check("at first", 1000)
	l.observe(1000, 1000*100, false, 0)
	check("small rows", 1000)
	l.observe(10, PageBytes, true, 0)
	check("large rows", 9)
	l.observe(1, 3*PageBytes, true, 0)
	check("huge rows", 1)
	l.observe(0, 0, false, 0)
	check("no rows", 1)
	l.observe(1, 100, false, 0)
	check("growing", 2)
	for range 20 {
		l.observe(10, 1000, false, 0)
	}
	check("grown", 1000)
	l.slow()
	check("slow", 500)
	l.observe(500, 1000, false, 0)
	check("still slow", 500)
	for range 20 {
		l.slow()
	}
	check("very slow", 1)
}

func TestReader_RowsThatComeAndGoDoNoHarm(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts (id int PRIMARY KEY)", "INSERT INTO accounts SELECT generate_series(10, 100, 10)")
	r := db.open(Options{Query: accounts, PageSize: 3})
	var keys []string
	var after Cursor
	for i, change := range []string{
		"DELETE FROM accounts WHERE id = 30",                                     // the cursor's own row
		"INSERT INTO accounts VALUES (5), (61), (75)",                            // behind and before the reader
		"UPDATE accounts SET id = 15 WHERE id = 90",                              // moved behind the reader
		"DELETE FROM accounts WHERE id = 100; INSERT INTO accounts VALUES (100)", // the same key anew
		"",
	} {
		page, err := r.Page(t.Context(), after)
		if err != nil {
			t.Fatalf("page %d: %v", i, err)
		}
		keys = append(keys, keysOf(page.Rows)...)
		after = page.Next
		if page.End {
			break
		}
		db.exec(change)
	}
	if want := strings.Fields("10 20 30 40 50 60 61 70 75 80 100"); !slices.Equal(keys, want) {
		t.Errorf("first walk: got %q, want %q", keys, want)
	}
	rows, err := walkAll(t, r)
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, rows, strings.Fields("5 10 15 20 40 50 60 61 70 75 80 100"))
}

func TestReader_PageIsAsNewAsItSays(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts AS SELECT 1 AS id")
	r := db.open(Options{Query: accounts, Now: func() time.Time {
		db.exec("INSERT INTO accounts SELECT max(id) + 1 FROM accounts") // what is there at ReadAt is read
		return testNow
	}})
	page, err := r.Page(t.Context(), Cursor{})
	if err != nil || len(page.Rows) != 2 || !page.ReadAt.Equal(testNow) {
		t.Errorf("got %d rows at %s (%v), want 2 at %s", len(page.Rows), page.ReadAt, err, testNow)
	}
}

// TestReader_IndexServes: the plan of a page and of single rows is a lookup in
// the keys' index, without a sort.
func TestReader_IndexServes(t *testing.T) {
	db := newDatabase(t, `
CREATE TABLE single (id bigint PRIMARY KEY, at text);
INSERT INTO single SELECT i, md5(i::text) FROM generate_series(1, 20000) i;
CREATE TABLE pair (provider text, account text, at text, PRIMARY KEY (provider, account));
INSERT INTO pair SELECT 'p' || i % 3, i, md5(i::text) FROM generate_series(1, 20000) i;
CREATE TABLE unindexed AS SELECT * FROM single;
ANALYZE`)
	const rest = ", at AS access_token, 'u' AS subject_id FROM "
	for _, test := range []struct {
		query   string
		after   Cursor
		keys    []string
		indexed bool
	}{
		{"SELECT id AS key" + rest + "single", Cursor{set: true, key: [2]string{"500"}}, []string{"7", "9"}, true},
		{"SELECT provider AS key, account AS key_2" + rest + "pair", Cursor{set: true, key: [2]string{"p1", "500"}}, []string{"p1/7", "p0/9"}, true},
		{"SELECT id AS key" + rest + "unindexed", Cursor{set: true, key: [2]string{"500"}}, []string{"7", "9"}, false},
	} {
		r := db.open(Options{Query: test.query, PageSize: 100})
		if got, err := r.Paging(t.Context()); got.Sorts == test.indexed || err != nil {
			t.Errorf("%s: got sorted %t (%v), want %t", test.query, got.Sorts, err, !test.indexed)
		}
		var params, again []param
		var parts [2][]string
		for _, key := range test.keys {
			parts[0] = append(parts[0], strings.Split(key, "/")[0])
			parts[1] = append(parts[1], strings.Split(key+"/", "/")[1])
		}
		for i, key := range r.keys {
			params = append(params, param{key.oid, []byte(test.after.key[i])})
			again = append(again, param{key.arrayOID, arrayLiteral(parts[i])})
		}
		params = append(params, param{20, []byte("101")})
		for name, plan := range map[string]string{
			"page": explain(t, r, &r.sql.nextPage, params),
			"rows": explain(t, r, &r.sql.rows, again),
		} {
			if got := strings.Contains(plan, "Index Cond") && !strings.Contains(plan, "Sort") && !strings.Contains(plan, "Seq Scan"); got != test.indexed {
				t.Errorf("%s of %s: got index %t, want %t, by the plan\n%s", name, test.query, got, test.indexed, plan)
			}
		}
	}
}

func TestReader_EstimatesRows(t *testing.T) {
	db := newDatabase(t, "CREATE TABLE accounts AS SELECT generate_series(1, 10000) AS id", "ANALYZE")
	for _, test := range []struct {
		o    Options
		want int64
	}{
		{Options{Query: accounts}, 10000},
		{Options{Query: accounts, Where: "key <= 2500"}, 2500},
		{Options{Query: accounts, Shards: 4}, 2500},
	} {
		got, err := db.open(test.o).Estimate(t.Context())
		if err != nil || got < test.want*9/10 || got > test.want*11/10 {
			t.Errorf("%+v: got %d, %v, want about %d", test.o.Where, got, err, test.want)
		}
	}
}

func TestReader_CitextKeysThatAreEqualAreRepeated(t *testing.T) {
	db := newDatabase(t)
	if _, err := db.Exec(t.Context(), "CREATE EXTENSION citext"); err != nil {
		t.Skipf("this server has no citext extension: %v", err)
	}
	db.exec("CREATE TABLE accounts (id citext)", "INSERT INTO accounts SELECT chr(97 + i) || 'X' FROM generate_series(0, 8) i")
	r := db.open(Options{Query: accounts, PageSize: 2})
	rows, err := walkAll(t, r)
	if err != nil || len(rows) != 9 {
		t.Fatalf("got %d rows, %v, want 9", len(rows), err)
	}
	if again, err := r.Rows(t.Context(), []string{"ax", "bX"}); err != nil || !slices.Equal(keysOf(again), []string{"bX"}) {
		t.Errorf("read again: got %q, %v, want bX alone: ax is not its text", keysOf(again), err)
	}
	for _, double := range []string{"Ax", "BX", "Cx", "iX"} {
		db.exec("INSERT INTO accounts VALUES ('" + double + "')")
		for _, size := range []int{1, 2, 3, 1000} {
			r := db.open(Options{Query: accounts, PageSize: size})
			_, err := walkAll(t, r)
			wantConfigError(t, err, "stands for more than one row")
			r.Close()
		}
		db.exec("DELETE FROM accounts WHERE id::text = '" + double + "'; INSERT INTO accounts SELECT 'iX' WHERE NOT EXISTS (SELECT FROM accounts WHERE id = 'iX')")
	}
}

// A key that is a row's own credential is refused before anybody keeps it, and is not
// told.
func TestPage_RefusesCredentialsAsKeys(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	db.exec(`CREATE TABLE accounts (id int, access text, refresh text)`)
	db.exec(`INSERT INTO accounts VALUES (1, 'xoxp-first-secret', NULL), (2, 'xoxp-second-secret', 'xoxe-second/secret')`)
	const query = `SELECT %s, access AS access_token, refresh AS refresh_token, '2099-01-01T00:00:00Z' AS expires_at, 'u' || id AS subject_id FROM accounts`
	for _, key := range []string{"access AS key", "coalesce(refresh, 'none') AS key", "id AS key, access AS key_2", "coalesce(refresh, 'none') AS key, id AS key_2"} {
		r := db.open(Options{Query: fmt.Sprintf(query, key), MissingExpiry: MissingExpiry{Default: time.Hour}})
		_, err := r.Page(t.Context(), Cursor{})
		var config *ConfigError
		if !errors.As(err, &config) || !strings.Contains(err.Error(), "holds the rows' tokens themselves") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want a *ConfigError that does not tell the key", key, err)
		}
	}
	if _, err := db.open(Options{Query: fmt.Sprintf(query, "id AS key")}).Page(t.Context(), Cursor{}); err != nil {
		t.Errorf("the id as key: %v", err)
	}
}

// A statement that fails by itself is told with its place, as it is where it goes out
// with others; so is a server that is too old for that.
func TestPage_TellsWhereItFailed(t *testing.T) {
	for _, version := range []int{0, 110000} {
		db := newDatabase(t, `CREATE TABLE t (id int PRIMARY KEY, token text, subject text)`, `INSERT INTO t VALUES (1, 'xoxb-1', 'u')`)
		r := db.open(Options{Query: "SELECT id AS key,\n  token AS access_token, subject AS subject_id FROM t"})
		r.info.VersionNumber = max(version, 90600)
		if page, err := r.Page(t.Context(), Cursor{}); err != nil || len(page.Rows) != 1 || !page.End {
			t.Fatalf("got %+v, %v, want one row", page, err)
		}
		db.exec(`ALTER TABLE t RENAME COLUMN token TO other`)
		_, err := r.Page(t.Context(), Cursor{})
		if err == nil || !strings.Contains(err.Error(), "(query, line 2, column 3)") {
			t.Errorf("version %d: got %v, want the place of the column", version, err)
		}
		db.exec(`ALTER TABLE t RENAME COLUMN other TO token`)
		if page, err := r.Page(t.Context(), Cursor{}); err != nil || len(page.Rows) != 1 {
			t.Errorf("version %d, after the failure: got %+v, %v, want one row", version, page, err)
		}
	}
}
