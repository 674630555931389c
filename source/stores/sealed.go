package stores

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// look is an Opener that sees whether the values of a draft are encrypted. It
// keeps none of them.
type look struct {
	mu       sync.Mutex
	rows     int
	of       map[string]int // rows with an encrypted value, by its format's name
	tagFirst int            // of those in iv:tag:ct or iv:ct:tag, those that can be the first
}

// errSeen ends the reading of a row that was looked at.
var errSeen = errors.New("it was only looked at")

var tagBeforeText = regexp.MustCompile(`^[0-9a-f]+:[0-9a-f]{32}:`)

func (l *look) Inputs() []string { return nil }

func (l *look) Open(in source.Values) (source.Opened, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows++
	for _, column := range []string{"access_token", "refresh_token"} {
		if name := cipher.Resembles(in[column]); name != "" {
			l.of[name]++
			if tagBeforeText.MatchString(in[column]) {
				l.tagFirst++
			}
			break
		}
	}
	return source.Opened{}, errSeen
}

// openedBy are the stores that open formats by cipher.Resembles's names for them,
// in tables that are not theirs. For "" nothing does.
var openedBy = map[string]string{
	"Fernet": "fernet", "Laravel": "laravel", "OpenPGP": "pgcrypto", "prisma-field-encryption": "prisma-field-encryption", "Vault's transit engine": "",
}

// namedSealed are names of columns that hold encrypted values.
var namedSealed = regexp.MustCompile(`(?i)encrypted|ciphertext|(^|_)enc(_|$)|[a-z]Enc$`)

// byName takes a draft for encrypted whose columns are called so.
func (d *Draft) byName(c *Catalogue) {
	for _, name := range []string{"access_token", "refresh_token", "response"} {
		if column := d.guessed[name]; namedSealed.MatchString(column) {
			d.seal(c, "the column "+column+" is called so", "node-aes")
			return
		}
	}
}

// byValue takes a draft for encrypted whose values are.
func (d *Draft) byValue(c *Catalogue, l *look) {
	if len(l.of) == 0 {
		return
	}
	most := ""
	for _, name := range slices.Sorted(maps.Keys(l.of)) {
		if l.of[name] > l.of[most] {
			most = name
		}
	}
	opener, known := openedBy[most]
	if !known {
		opener = "node-aes"
	}
	d.seal(c, fmt.Sprintf("in %d of %d rows looked at they have the form of %s", l.of[most], l.rows, most), opener)
	if d.Store == nil || d.Store.Name != "node-aes" {
		return
	}
	switch {
	case most == "a JSON envelope":
		d.Params["layout"] = "json"
	case l.of[most] > l.tagFirst:
		d.Params["layout"] = "iv:ct:tag"
	}
}

// seal notes that values are encrypted, and by which store they may be opened:
// the one of that name, if it can read the table.
func (d *Draft) seal(c *Catalogue, why, opener string) {
	d.Sealed, d.Store, d.Params = why, nil, nil
	s, ok := ByName(opener)
	if !ok {
		return
	}
	if params := d.paramsFor(c, s); params != nil {
		d.Store, d.Params = s, params
	}
}
