package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"

	"tokenmigrate/checkpoint/pgerr"
	"tokenmigrate/source/cipher"
)

// Opener turns what a store keeps of a row into values of the package's columns:
// it decrypts credentials, and takes documents apart that hold them. Its methods
// must be safe for concurrent use.
type Opener interface {
	// Inputs names the columns beyond the package's own that the query has for
	// Open: of type text, bytea, json, jsonb, uuid or an integer type. Each must be
	// in the query's output.
	Inputs() []string
	// Open opens one row. It is not called for a row that its skip column or its
	// provider leaves out. It may keep what in holds, and must not change it.
	//
	// An error makes the row invalid, decrypt_failed, and its text becomes the
	// detail: it must say which column and hold no part of a value or key. Errors
	// that wrap cipher.ErrKey or cipher.ErrNoKey speak against the keys, see
	// Reader.CheckKeys.
	Open(in Values) (Opened, error)
}

// Values are values of one row by column name, as text; bytea as its bytes. NULL
// columns are missing.
type Values map[string]string

// Opened is what an Opener found in a row.
type Opened struct {
	// Values go before the query's: by names of the package's own columns, but for
	// key, key_2, provider and connector; each read as if the query had given this
	// text (data, authorization_details: JSON). "" is NULL.
	Values Values
	// Decrypted and Plain count the values that were encrypted and that stood there
	// in the clear.
	Decrypted, Plain int
	// Skip, unless empty, leaves the row out: one of Options.Skips.
	Skip Reason
}

const (
	// keySample is how many rows of each end of the source CheckKeys looks at first:
	// keys change with time, and so mostly with the key's order.
	keySample = 100
	// keyWalk is how many rows it reads from the beginning where no row of the sample
	// is encrypted.
	keyWalk = 10_000
	// sureFailures is how many rows must fail before failures of some rows, or for
	// another cause than the keys, count as a wrong configuration and not as damage.
	sureFailures = 10
)

// CheckKeys finds wrong keys before anything is sent: it opens some rows of both
// ends of the source. Where it meets no encrypted value it finds nothing wrong.
//
// Errors: a *ConfigError where no row opens, one failing for its keys or ten for any
// cause; and, unless Options.LostKeys, where a fifth of the encrypted rows and ten
// or more fail for their keys. Without an Opener: where half of the rows and ten or
// more are unmistakably encrypted. Else as of Page.
func (r *Reader) CheckKeys(ctx context.Context) error {
	const op = "check the keys of the source's encryption"
	t := keyTrial{plain: r.o.Open == nil}
	rows, err := r.ends(ctx, op, min(keySample, r.o.PageSize))
	if err != nil {
		return err
	}
	t.add(rows)
	var after Cursor
	for read := 0; !t.plain && t.sealed() == 0 && read < keyWalk; {
		page, err := r.page(ctx, op, after, 0)
		if err != nil {
			return err
		}
		t.add(page.Rows)
		if page.End {
			break
		}
		after, read = page.Next, read+len(page.Rows)
	}
	if problem := t.problem(r.o.LostKeys); problem != "" {
		return &ConfigError{Op: op, Problems: []string{problem}}
	}
	return nil
}

// keyTrial counts how encrypted rows fared.
type keyTrial struct {
	plain                  bool // there is no Opener
	rows                   int
	opened, badKey, failed int
	causes                 map[string]int    // of those that failed, by detail
	example                map[string]string // a key of each
}

func (t *keyTrial) sealed() int { return t.opened + t.badKey + t.failed }

func (t *keyTrial) add(rows []Row) {
	t.rows += len(rows)
	for i := range rows {
		row := &rows[i]
		switch {
		case row.Reason == ReasonDecryptFailed:
			if row.badKey {
				t.badKey++
			} else {
				t.failed++
			}
			if t.causes == nil {
				t.causes, t.example = map[string]int{}, map[string]string{}
			}
			if t.causes[row.Detail]++; t.causes[row.Detail] == 1 {
				t.example[row.Detail] = showKey(row.Key)
			}
		case row.Decrypted > 0:
			t.opened++
		}
	}
}

// problem says what is wrong with the keys, or "".
func (t *keyTrial) problem(lost bool) string {
	most := ""
	for cause, n := range t.causes {
		if n > t.causes[most] || n == t.causes[most] && cause < most {
			most = cause
		}
	}
	failed := t.badKey + t.failed
	told := fmt.Sprintf("(key %s: %s)", t.example[most], most)
	switch {
	case t.plain && (failed < sureFailures || failed*2 < t.rows):
		return ""
	case t.plain:
		return fmt.Sprintf("%d of %d rows hold no tokens but what somebody encrypted %s", failed, t.rows, told)
	case t.opened == 0 && failed == 1 && t.badKey == 1:
		return "the only encrypted row that was found does not open " + told + ". Give the right keys in source.decrypt"
	case t.opened == 0 && t.badKey == 0 && failed >= sureFailures: // whatever the keys
		return fmt.Sprintf("none of %d rows opens that should be encrypted, most often because %s. See what source.params says of the cipher, and whether these values are encrypted at all", failed, told)
	case t.opened == 0 && t.badKey > 0:
		return fmt.Sprintf("none of %d encrypted rows opens, most often because %s. Give the right keys in source.decrypt, and what source.params says of the cipher", failed, told)
	case !lost && t.badKey >= sureFailures && t.badKey*5 >= t.sealed():
		return fmt.Sprintf("%d of %d encrypted rows do not open, most often because %s. Give all keys in source.decrypt; if some are lost for good, say by policy.max_failed how many rows may stay behind", t.badKey, t.sealed(), told)
	}
	return ""
}

// ends reads up to n rows of each end of the source; no row twice.
func (r *Reader) ends(ctx context.Context, op string, n int) ([]Row, error) {
	var rows []Row
	seen := map[string]bool{}
	for _, st := range []*statement{&r.sql.firstPage, &r.sql.lastPage} {
		var sink *sink
		err := r.persist(ctx, op, func(ctx context.Context) error {
			sink = r.newSink(r.o.Now(), n)
			size := 0
			err := r.stream(ctx, st, []param{{pgtype.Int8OID, []byte(strconv.Itoa(n))}}, func(values [][]byte) error {
				key, _, err := r.keyOf(values)
				if err != nil || size >= PageBytes {
					return nil // Check and Page tell of bad keys
				}
				for _, v := range values {
					size += len(v)
				}
				sink.add(joinKey(string(key[0]), string(key[1]), len(r.keys) == 2), values)
				return nil
			})
			opened := sink.finish()
			if err != nil {
				return err
			}
			for i := range opened {
				if !seen[opened[i].Key] {
					seen[opened[i].Key] = true
					rows = append(rows, opened[i])
				}
			}
			return nil
		})
		// Where no index serves the way back, the sort of a large table may take too
		// long; the beginning has to do then.
		if st == &r.sql.lastPage && pgerr.CodeOf(err) == "57014" && ctx.Err() == nil {
			r.o.Log.Warn().Err(err).Msg("only the source's first rows were tried with the keys")
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// open has the store's Opener open a row, and takes its values over.
func (m *mapper) open(row *Row) {
	if m.o.Open == nil || row.Reason != "" {
		return
	}
	opened, err := m.o.Open.Open(m.inputs())
	row.Decrypted, row.Plain = opened.Decrypted, opened.Plain
	if err != nil {
		row.badKey = errors.Is(err, cipher.ErrKey) || errors.Is(err, cipher.ErrNoKey)
		row.fail(ReasonDecryptFailed, err.Error())
		return
	}
	if opened.Skip != "" {
		m.skip(row, opened.Skip)
		return
	}
	for name, text := range opened.Values {
		f := fieldByName(name)
		if f <= fConnector || f >= fSkip {
			panic("source: an Opener may not set column " + name)
		}
		v := value{kindText, text}
		switch {
		case text == "":
			v = value{}
		case specs[f].kinds == jsons:
			v.kind = kindJSON
		}
		m.values[f] = v
	}
}

// inputs returns the values that an Opener may look at.
func (m *mapper) inputs() Values {
	in := make(Values, len(m.columns))
	for i := range m.columns {
		c := &m.columns[i]
		v := m.extra[i]
		if c.field != fInput {
			v = m.values[c.field]
		}
		if v.kind != kindNone && (!v.kind.binary() || v.kind == kindBytes) {
			in[c.name] = v.text
		}
	}
	return in
}

// skip leaves a row out for one of the store's own reasons.
func (m *mapper) skip(row *Row, reason Reason) {
	detail, known := m.o.Skips[reason]
	if !known {
		row.fail(ReasonInvalidField, "skip "+m.quote(row, string(reason))+" is not one of the store's reasons")
		return
	}
	row.fail(reason, detail)
}

// storeColumns returns the columns that only a store's query may have.
func (o *Options) storeColumns() []string {
	var names []string
	if o.Open != nil {
		names = append(names, o.Open.Inputs()...)
	}
	if len(o.Skips) > 0 {
		names = append(names, fSkip.String())
	}
	return names
}

// skipNames lists the reasons of Options.Skips in order.
func (o *Options) skipNames() []Reason { return slices.Sorted(maps.Keys(o.Skips)) }
