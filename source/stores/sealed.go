package stores

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// look is an Opener that sees whether the values of a draft are encrypted. It
// keeps none of them.
type look struct {
	mu     sync.Mutex
	rows   int
	of     map[string]int // rows with an encrypted value, by its format's name
	shapes []int          // rows that a shape of nodeShapes takes
	bytes  cipher.Bytes
	keys   map[string]bool
	marks  map[string]int // rows by what stands before the parts, such as "v1:"
}

func newLook() *look {
	return &look{of: map[string]int{}, shapes: make([]int, len(nodeShapes())), marks: map[string]int{}, keys: map[string]bool{}}
}

// errSeen ends the reading of a row that was looked at.
var errSeen = errors.New("it was only looked at")

func (l *look) Inputs() []string { return nil }

func (l *look) Open(in source.Values) (source.Opened, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows++
	for _, column := range []string{"access_token", "refresh_token"} {
		text := in[column]
		if name := sealedName(text); name != "" {
			l.of[name]++
			l.shape(text)
			if s, ok := ByName(openedBy[name]); ok {
				for _, k := range s.Keys {
					l.keys[k.Name] = l.keys[k.Name] || k.Needed == nil || k.Needed(in)
				}
			}
			break
		} else if column == "access_token" {
			l.shape(text)
		}
	}
	return source.Opened{}, errSeen
}

// sealedName is cipher.Resembles also for the bytes of a bytea column.
func sealedName(text string) string {
	switch pgp, _ := cipher.NewPGP(); {
	case utf8.ValidString(text):
		return cipher.Resembles(text)
	case pgp.Sealed(cipher.Value{Data: []byte(text)}):
		return "OpenPGP"
	}
	return noText
}

// noText is the name of values that are bytes of no known format, and blobs of
// those that are base64 of such bytes.
const (
	noText = "bytes that are no text"
	blobs  = "base64 of bytes that are no text"
)

// nodeShape is how parts may lie in the values of an application's own code.
type nodeShape struct {
	params Params // of store node-aes, but for those that it has by itself
	cipher *cipher.NodeAES
}

// nodeShapes are those that a value shows by itself, the commonest first.
var nodeShapes = sync.OnceValue(func() []nodeShape {
	const cbc = "aes-256-cbc"
	var list []nodeShape
	for _, p := range []Params{
		{"layout": "iv:tag:ct"}, {"layout": "iv:ct:tag"}, {"layout": "tag:iv:ct"}, {"layout": "iv.tag.ct"}, {"layout": "iv.ct.tag"},
		{"layout": "iv:ct", "algorithm": cbc}, {"layout": "iv:ct"},
		{"layout": "salt:iv:tag:ct", "salt_length": "16"}, {"layout": "salt:iv:tag:ct", "salt_length": "32"}, {"layout": "salt:iv:tag:ct", "salt_length": "64"},
		{"layout": "salted", "algorithm": cbc, "derive": "openssl-md5"}, {"layout": "json"},
	} {
		c, err := newNodeAES(p, nil)
		if err != nil {
			panic(err)
		}
		list = append(list, nodeShape{p, c})
	}
	delete(list[0].params, "layout") // the store's own
	return list
})

// nodeMark is what may stand before the parts.
var nodeMark = regexp.MustCompile(`^[A-Za-z][\w-]{0,15}:`)

// shape counts which shapes take a value, without what stands before its parts if
// that is how one does.
func (l *look) shape(text string) {
	text = strings.TrimSpace(text)
	l.bytes.Add(text)
	mark, rest := "", text
	for range 3 {
		taken := false
		for i, s := range nodeShapes() {
			if _, err := s.cipher.Open(cipher.Value{Data: []byte(rest)}); errors.Is(err, cipher.ErrNoKey) {
				l.shapes[i]++
				taken = true
			}
		}
		if taken {
			l.marks[mark]++
			return
		}
		found := nodeMark.FindString(rest)
		if found == "" {
			return
		}
		mark, rest = mark+found, rest[len(found):]
	}
}

// params returns the parameters of store node-aes for the shape that most values
// have, and how many have it.
func (l *look) params() (Params, int) {
	best := 0
	for i, n := range l.shapes {
		if n*10 > l.shapes[best]*11 { // some values may be damaged
			best = i
		}
	}
	p, mark := Params{}.With(nodeShapes()[best].params), ""
	for _, m := range slices.Sorted(maps.Keys(l.marks)) {
		if l.marks[m] > l.marks[mark] {
			mark = m
		}
	}
	if mark != "" {
		p["prefix"] = mark
		if l.marks[""] > 0 {
			p["prefix"] += ","
		}
	}
	return p, l.shapes[best]
}

// openedBy are the stores that open formats by cipher.Resembles's names for them,
// in tables that are not theirs. For "" nothing does.
var openedBy = map[string]string{
	"Fernet": "fernet", "Laravel": "laravel", "OpenPGP": "pgcrypto", "prisma-field-encryption": "prisma-field-encryption",
	"Active Record Encryption": "rails", "Vault's transit engine": "", "AWS KMS": "", "Iron": "", "Rails' MessageEncryptor": "",
}

// namedSealed are names of columns that hold encrypted values.
var namedSealed = regexp.MustCompile(`(?i)encrypted|ciphertext|(^|_)enc(_|$)|[a-z]Enc$`)

// byName takes a draft for encrypted whose columns are called so, or have an IV
// beside them.
func (d *Draft) byName(c *Catalogue) {
	for _, name := range []string{"access_token", "refresh_token", "response"} {
		if column := d.guessed[name]; namedSealed.MatchString(column) {
			d.seal(c, "the column "+column+" is called so", "node-aes")
			return
		}
	}
	if found := nodeAES.Find(c, Params{"table": d.Table.String(), "access_token": d.guessed["access_token"]}); len(found) == 1 {
		if column := found[0].Params["access_token_iv"]; column != "" && d.guessed["access_token"] != "" {
			d.seal(c, "the column "+column+" is beside them", "node-aes")
		}
	}
}

// byValue takes a draft for encrypted whose values are.
func (d *Draft) byValue(c *Catalogue, l *look) {
	params, alike := l.params()
	most := ""
	for _, name := range slices.Sorted(maps.Keys(l.of)) {
		if l.of[name] > l.of[most] {
			most = name
		}
	}
	n := l.of[most]
	if most == "" { // one value that has such a form may be anything; all of them are not
		if n = alike; alike > 0 && alike*10 >= l.rows*9 {
			most = "an IV, a ciphertext and perhaps a tag"
		} else if bytes, likely := l.bytes.Likely(); likely {
			most, n = blobs, bytes
		} else {
			return
		}
	}
	opener, known := openedBy[most]
	if !known {
		opener = nodeAES.Name
	}
	d.seal(c, fmt.Sprintf("in %d of %d rows looked at they have the form of %s", n, l.rows, most), opener)
	if d.Store != nodeAES {
		d.Keys = l.keys
		return
	}
	switch {
	case alike > 0:
	case most == "a JSON envelope":
		params = Params{"layout": "json"}
	case most == blobs:
		params = Params{"layout": "iv+tag+ct"}
		d.note("Such values show little of themselves: see that your code does encrypt them, and in which order it writes iv, tag and ct.")
	case most == noText:
		params = Params{"layout": "iv+tag+ct", "encoding": "raw"}
		d.note("Bytes show little of themselves. If pgcrypto's function encrypt made them, write store: pgcrypto, with function: encrypt in params.")
	}
	d.Params = d.Params.With(params)
}

// seal notes that values are encrypted, and by which store they may be opened:
// the one of that name, if it can read the table.
func (d *Draft) seal(c *Catalogue, why, opener string) {
	d.Sealed, d.Store, d.Params, d.Keys = why, nil, nil, nil
	s, ok := ByName(opener)
	if !ok {
		return
	}
	if params := d.paramsFor(c, s); params != nil {
		d.Store, d.Params, d.Keys = s, params, map[string]bool{}
		for _, k := range s.Keys {
			d.Keys[k.Name] = k.Needed == nil
		}
	}
}
