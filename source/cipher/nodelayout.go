package cipher

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
)

// nodeLayout is a layout of NodeAES.
type nodeLayout struct {
	json      bool
	salted    bool     // "Salted__", salt, ciphertext
	parts     []string // in their order
	separator string   // "": they are one blob
}

// nodeParts are the parts of a value, as bytes.
type nodeParts struct {
	iv, tag, ct, salt []byte
	salted            bool // it has a salt of its own
}

func (p *nodeParts) part(name string) *[]byte {
	switch name {
	case "iv":
		return &p.iv
	case "tag":
		return &p.tag
	case "salt":
		p.salted = true
		return &p.salt
	}
	return &p.ct
}

// nodeNames are the parts' names, and those that JSON objects have for them.
var nodeNames = map[string][]string{
	"iv":   {"iv", "nonce"},
	"tag":  {"tag", "authTag", "auth_tag", "at"},
	"ct":   {"ct", "data", "content", "value", "encrypted", "encryptedData", "encrypted_data", "ciphertext", "cipherText", "payload"},
	"salt": {"salt"},
}

func (l nodeLayout) has(name string) bool { return slices.Contains(l.parts, name) }

// parseNodeLayout reads NodeAESOptions.Layout.
func parseNodeLayout(text string) (l nodeLayout, err error) {
	switch text {
	case "":
		text = "iv:tag:ct"
	case "json":
		return nodeLayout{json: true}, nil
	case "salted":
		return nodeLayout{salted: true, parts: []string{"ct"}}, nil
	}
	wrong := &KeyError{"layout", `must be json or salted, or name ct and others of iv, tag and salt once, with one separator between them: "iv:tag:ct"`}
	for rest := text; ; {
		name := ""
		for n := range nodeNames {
			if strings.HasPrefix(rest, n) {
				name = n
			}
		}
		if name == "" || l.has(name) {
			return l, wrong
		}
		l.parts = append(l.parts, name)
		if rest = rest[len(name):]; rest == "" {
			break
		}
		if len(l.parts) == 1 { // the separator ends where the next name begins
			end := len(rest)
			for n := range nodeNames {
				if i := strings.Index(rest, n); i >= 0 {
					end = min(end, i)
				}
			}
			l.separator = rest[:end]
			if strings.ContainsFunc(l.separator, unicode.IsLetter) { // a part's name that is none
				return l, wrong
			}
		}
		var ok bool
		if rest, ok = strings.CutPrefix(rest, l.separator); !ok || l.separator == "" {
			return l, wrong
		}
	}
	if !l.has("ct") {
		return l, wrong
	}
	if l.separator == "+" {
		l.separator = ""
	}
	return l, nil
}

// looksSealed is Sealed of a value without a prefix.
func (c *NodeAES) looksSealed(v Value) bool {
	data, _, _ := c.cut(v.Data)
	if _, err := c.parse(data, v.With); err == nil {
		return true
	}
	if c.layout.json {
		fields := nodeFields(data)
		return nodeField(fields, "iv") != nil && nodeField(fields, "ct") != nil
	}
	if c.layout.salted {
		return strings.HasPrefix(string(data), saltedMark) || strings.HasPrefix(string(data), n8nClassic)
	}
	if !c.layout.has("iv") {
		return v.With["iv"] != ""
	}
	if c.layout.separator == "" || c.layout.parts[0] == "ct" {
		return false
	}
	first, _, found := strings.Cut(string(data), c.layout.separator)
	b, ok := c.decode([]byte(first), false)
	if !found || !ok {
		return false
	}
	switch c.layout.parts[0] {
	case "iv":
		return len(b) > 0 && (len(b) == c.o.NonceLength || c.o.NonceLength == 0 && slices.Contains([]int{12, 16, 24}, len(b)))
	case "salt":
		return len(b) > 0 && (len(b) == c.o.SaltLength || c.o.SaltLength == 0 && slices.Contains([]int{16, 32, 64}, len(b)))
	}
	return len(b) == 16
}

// parse takes a value apart. There may be several ways to, one of which opens.
//
// Error: ErrFormat.
func (c *NodeAES) parse(data []byte, with map[string]string) ([]nodeParts, error) {
	texts := map[string][]byte{}
	for name := range nodeNames {
		if text := with[name]; text != "" {
			texts[name] = []byte(text)
		}
	}
	switch {
	case c.layout.json:
		fields := nodeFields(data)
		for name := range nodeNames {
			if text := nodeField(fields, name); text != nil {
				texts[name] = text
			}
		}
	case c.layout.salted:
		return c.parseSalted(data)
	case c.layout.separator == "" && len(c.layout.parts) > 1:
		return c.parseBlob(data, texts)
	case c.layout.separator == "":
		texts["ct"] = data
	default:
		pieces := bytes.Split(data, []byte(c.layout.separator))
		if len(pieces) != len(c.layout.parts) {
			return nil, damaged("it has %d parts, and the layout %d", len(pieces), len(c.layout.parts))
		}
		for i, name := range c.layout.parts {
			texts[name] = pieces[i]
		}
	}
	allHex := c.o.Encoding == ""
	for _, text := range texts {
		allHex = allHex && isHex(text) && len(text)%2 == 0
	}
	var p nodeParts
	for name, text := range texts {
		b, ok := c.decode(text, allHex)
		if !ok {
			return nil, damaged("a part of it is not encoded as it must be")
		}
		*p.part(name) = b
	}
	return c.check(p)
}

const saltedMark = "Salted__"

// parseSalted takes apart what openssl enc and CryptoJS write.
func (c *NodeAES) parseSalted(data []byte) ([]nodeParts, error) {
	blob, ok := data, true
	if !bytes.HasPrefix(data, []byte(saltedMark)) {
		blob, ok = c.decode(data, isHex(data) && len(data)%2 == 0)
	}
	blob, salted := bytes.CutPrefix(blob, []byte(saltedMark))
	if !ok || !salted || len(blob) < 8 {
		return nil, damaged("it is not salted as OpenSSL does it, or cut short")
	}
	return c.check(nodeParts{salt: blob[:8], salted: true, ct: blob[8:]})
}

// parseBlob takes apart what has no separators, with parts from beside it.
func (c *NodeAES) parseBlob(data []byte, texts map[string][]byte) ([]nodeParts, error) {
	blob, ok := c.decode(data, isHex(data) && len(data)%2 == 0)
	if !ok {
		return nil, damaged("it is not encoded as it must be")
	}
	ivs, salts := []int{c.o.NonceLength}, []int{c.o.SaltLength}
	if c.o.NonceLength == 0 {
		ivs = c.nonceLengths()
	}
	if c.o.SaltLength == 0 {
		salts = []int{16, 32, 64}
		if !c.authenticates() {
			salts = salts[:1]
		}
	}
	if !c.layout.has("iv") {
		ivs = ivs[:1]
	}
	if !c.layout.has("salt") {
		salts = salts[:1]
	}
	var all []nodeParts
	for _, salt := range salts {
		for _, iv := range ivs {
			p, ok := c.slice(blob, map[string]int{"iv": iv, "salt": salt, "tag": 16})
			if !ok {
				continue
			}
			for name, text := range texts {
				if b, ok := c.decode(text, isHex(text) && len(text)%2 == 0); ok && !c.layout.has(name) {
					*p.part(name) = b
				}
			}
			if checked, err := c.check(p); err == nil {
				all = append(all, checked...)
			}
		}
	}
	if len(all) == 0 {
		return nil, damaged("it is shorter than its parts")
	}
	return all, nil
}

// nonceLengths are those that are tried where nothing shows the iv's end.
func (c *NodeAES) nonceLengths() []int {
	switch {
	case c.o.Algorithm == "secretbox":
		return []int{24}
	case c.o.Algorithm == "chacha20-poly1305":
		return []int{12}
	case c.authenticates():
		return []int{12, 16}
	}
	return []int{16}
}

// slice cuts blob into the layout's parts, of these lengths and ct of the rest.
func (c *NodeAES) slice(blob []byte, lengths map[string]int) (p nodeParts, ok bool) {
	rest := len(blob)
	for _, name := range c.layout.parts {
		if name != "ct" {
			rest -= lengths[name]
		}
	}
	if rest < 0 {
		return p, false
	}
	lengths["ct"] = rest
	for _, name := range c.layout.parts {
		*p.part(name) = blob[:lengths[name]:lengths[name]]
		blob = blob[lengths[name]:]
	}
	return p, true
}

// check looks at the parts' lengths.
func (c *NodeAES) check(p nodeParts) ([]nodeParts, error) {
	switch n := len(p.iv); {
	case c.bothSizes: // it has none
	case n == 0:
		return nil, damaged("its iv is missing")
	case c.o.NonceLength != 0 && n != c.o.NonceLength:
		return nil, damaged("its iv has %d bytes", n)
	case strings.HasSuffix(c.o.Algorithm, "-gcm"):
		if n < 8 || n > 64 {
			return nil, damaged("its iv has %d bytes", n)
		}
	case n != c.nonceLengths()[0]:
		return nil, damaged("its iv has %d bytes", n)
	}
	if n := len(p.tag); n != 0 && n != 16 || c.layout.has("tag") && n == 0 {
		return nil, damaged("its tag has %d bytes", n)
	}
	if c.o.SaltLength != 0 && p.salted && len(p.salt) != c.o.SaltLength {
		return nil, damaged("its salt has %d bytes", len(p.salt))
	}
	switch {
	case c.authenticates() && len(p.tag)+len(p.ct) < 16:
		return nil, damaged("it is shorter than its tag")
	case strings.HasSuffix(c.o.Algorithm, "-cbc") && (len(p.ct) == 0 || len(p.ct)%16 != 0):
		return nil, damaged("it is cut short")
	}
	return []nodeParts{p}, nil
}

// decode decodes one part. Where no encoding is configured, it is hexadecimal if
// allHex, or if it is long enough not to be so by chance, and else base64; or the
// bytes, if they are no text.
func (c *NodeAES) decode(b []byte, allHex bool) ([]byte, bool) {
	switch c.o.Encoding {
	case "hex":
		return unhex(trim(b))
	case "base64":
		return unbase64(b)
	case "base64url":
		return debase64(base64.RawURLEncoding, b)
	case "raw":
		return b, true
	}
	if isHex(b) && len(b)%2 == 0 && (allHex || len(b) >= 24) {
		return unhex(b)
	}
	if out, ok := anyBase64(b); ok {
		return out, true
	}
	return b, !readable(b)
}

// nodeFields returns the fields of an object, which may be in base64; nil if it
// is none.
func nodeFields(data []byte) map[string]json.RawMessage {
	if data = trim(data); !bytes.HasPrefix(data, []byte("{")) {
		decoded, ok := anyBase64(data)
		if !ok {
			return nil
		}
		data = decoded
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return nil
	}
	return fields
}

// nodeField returns the text of a part, nil if there is none. A Buffer's bytes
// become base64.
func nodeField(fields map[string]json.RawMessage, part string) []byte {
	for _, name := range nodeNames[part] {
		raw, ok := fields[name]
		if !ok {
			continue
		}
		var text string
		if json.Unmarshal(raw, &text) == nil && text != "" {
			return []byte(text)
		}
		var buffer struct {
			Data []uint16 `json:"data"` // not []byte, which JSON has as base64
		}
		if json.Unmarshal(raw, &buffer) == nil && len(buffer.Data) > 0 {
			b := make([]byte, len(buffer.Data))
			for i, n := range buffer.Data {
				b[i] = byte(n)
			}
			return []byte(base64.StdEncoding.EncodeToString(b))
		}
	}
	return nil
}
