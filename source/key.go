package source

import (
	"strconv"
	"strings"
)

// Cursor is a place in the order of keys: behind one row. The zero Cursor is
// the beginning. It belongs to the reader that gave it, is comparable, and does
// not depend on the page size.
type Cursor struct {
	set  bool
	key  [2]string // the parts, as Postgres writes them
	same [2]string // what of them decides equality (citext: the folded text)
}

// IsZero reports whether c is the beginning.
func (c Cursor) IsZero() bool { return !c.set }

// joinKey makes the key's text of its parts; see Row.Key.
func joinKey(first, second string, composite bool) string {
	if !composite {
		return first
	}
	return encodePart(first) + "/" + encodePart(second)
}

// splitKey undoes joinKey. It reports false for text that joinKey never makes.
func splitKey(key string, composite bool) (first, second string, ok bool) {
	if !composite {
		return key, "", true
	}
	first, second, ok = strings.Cut(key, "/")
	if !ok || strings.Contains(second, "/") {
		return "", "", false
	}
	first, ok = decodePart(first)
	if !ok {
		return "", "", false
	}
	second, ok = decodePart(second)
	return first, second, ok
}

var partEncoder = strings.NewReplacer("%", "%25", "/", "%2F")

func encodePart(part string) string {
	if strings.IndexByte(part, '%') < 0 && strings.IndexByte(part, '/') < 0 {
		return part
	}
	return partEncoder.Replace(part)
}

func decodePart(part string) (string, bool) {
	if strings.IndexByte(part, '%') < 0 {
		return part, true
	}
	var b strings.Builder
	for rest := part; ; {
		before, after, found := strings.Cut(rest, "%")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), true
		case strings.HasPrefix(after, "25"):
			b.WriteByte('%')
		case strings.HasPrefix(after, "2F"):
			b.WriteByte('/')
		default:
			return "", false
		}
		rest = after[2:]
	}
}

// possible reports whether a key column of this type can hold part, written as
// Postgres writes it. The server would refuse a whole statement for the sake of
// one key that it cannot parse.
func (c *column) possible(part string) bool {
	switch c.kind {
	case kindInteger:
		bits := map[uint32]int{oidInt2: 16, oidInt4: 32, oidInt8: 64}[c.oid]
		_, err := strconv.ParseInt(part, 10, bits)
		return err == nil
	case kindUUID:
		if len(part) != 36 {
			return false
		}
		for i := range len(part) {
			switch i {
			case 8, 13, 18, 23:
				if part[i] != '-' {
					return false
				}
			default:
				if c := part[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
					return false
				}
			}
		}
		return true
	}
	return strings.IndexByte(part, 0) < 0
}

// arrayLiteral writes parts as a Postgres array.
func arrayLiteral(parts []string) []byte {
	b := []byte{'{'}
	for i, part := range parts {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		for j := range len(part) {
			if part[j] == '"' || part[j] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, part[j])
		}
		b = append(b, '"')
	}
	return append(b, '}')
}
