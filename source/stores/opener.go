package stores

import (
	"fmt"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// columnOpener opens columns that each hold one value of a cipher, or plain
// text: the value decides.
type columnOpener struct {
	cipher  cipher.Cipher
	columns []string // of package source, in the order of their opening
	inputs  []string // other columns that the query has for the cipher
	// with returns what a column's Value has beside its data; nil: all of the row.
	with func(column string, in source.Values) map[string]string
	// strict: what does not look encrypted is an error, not plain.
	strict bool
}

// openColumns returns an Opener of access_token and refresh_token.
func openColumns(c cipher.Cipher) *columnOpener {
	return &columnOpener{cipher: c, columns: []string{"access_token", "refresh_token"}}
}

func (o *columnOpener) Inputs() []string { return o.inputs }

func (o *columnOpener) Open(in source.Values) (source.Opened, error) {
	out := source.Opened{Values: source.Values{}}
	for _, column := range o.columns {
		text := in[column]
		if text == "" {
			continue
		}
		v := cipher.Value{Data: []byte(text), With: in}
		if o.with != nil {
			v.With = o.with(column, in)
		}
		if !o.strict && !o.cipher.Sealed(v) {
			out.Plain++
			continue
		}
		plain, err := o.cipher.Open(v)
		if err != nil {
			return out, fmt.Errorf("%s: %w", column, err)
		}
		out.Values[column] = string(plain)
		out.Decrypted++
	}
	return out, nil
}

// documentOpener opens rows whose credentials lie in one JSON document, which is
// encrypted as a whole or stands there plain.
type documentOpener struct {
	cipher cipher.Cipher                                                            // nil: always plain
	column string                                                                   // the input that holds the document
	inputs []string                                                                 // other inputs, for the cipher (by its own names for them) and for take
	take   func(doc []byte, in source.Values) (source.Values, source.Reason, error) // the document's values; a reason leaves the row out
}

func (o *documentOpener) Inputs() []string { return append([]string{o.column}, o.inputs...) }

func (o *documentOpener) Open(in source.Values) (source.Opened, error) {
	var out source.Opened
	doc := []byte(in[o.column])
	v := cipher.Value{Data: doc, With: in}
	if o.cipher != nil && o.cipher.Sealed(v) {
		plain, err := o.cipher.Open(v)
		if err != nil {
			return out, fmt.Errorf("%s: %w", o.column, err)
		}
		doc = plain
		out.Decrypted++
	} else if len(doc) > 0 {
		out.Plain++
	}
	var err error
	out.Values, out.Skip, err = o.take(doc, in)
	return out, err
}
