package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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

// badKeysAtMost is how many values may fail for their key before CheckKeys gives
// up looking for one that opens.
const badKeysAtMost = 100

// CheckKeys finds wrong keys before anything is sent: it reads rows from the
// source's beginning until one value opens. Without an Opener, and where no
// value is encrypted, it finds nothing wrong.
//
// Errors: a *ConfigError where values fail for their key and none opens; else as
// of Page.
func (r *Reader) CheckKeys(ctx context.Context) error {
	const op = "check the keys of the source's encryption"
	if r.o.Open == nil {
		return nil
	}
	failed, example := 0, ""
	var after Cursor
	for limit := 32; ; limit *= 4 { // most often the first few rows tell
		page, err := r.page(ctx, op, after, limit)
		if err != nil {
			return err
		}
		for i := range page.Rows {
			row := &page.Rows[i]
			switch {
			case row.Decrypted > 0:
				return nil
			case row.badKey:
				if failed++; failed == 1 {
					example = fmt.Sprintf("key %s: %s", showKey(row.Key), row.Detail)
				}
			}
		}
		if page.End || failed >= badKeysAtMost {
			break
		}
		after = page.Next
	}
	if failed == 0 {
		return nil
	}
	problem := fmt.Sprintf("none of the first %d encrypted rows opens (%s)", failed, example)
	if failed == 1 {
		problem = "the only encrypted row that was found does not open (" + example + ")"
	}
	return &ConfigError{Op: op, Problems: []string{problem + ". Give the right keys in source.decrypt"}}
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
