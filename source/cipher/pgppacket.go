package cipher

import (
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"io"
)

const (
	pgpArmorBegin = "-----BEGIN PGP MESSAGE-----"
	pgpArmorEnd   = "-----END PGP MESSAGE-----"
)

// pgpBytes returns the message that data are or encode. It reports whether they
// are armored, and false where the armor or bytea's hexadecimal is damaged.
func pgpBytes(data []byte) (raw []byte, armored, ok bool) {
	if pgpBegins(data) {
		return data, false, true
	}
	text := trim(data)
	if rest, found := bytes.CutPrefix(text, []byte(pgpArmorBegin)); found {
		raw, ok = pgpDearmor(rest)
		return raw, true, ok
	}
	if digits, found := bytes.CutPrefix(text, []byte(`\x`)); found || isHex(text) {
		raw, ok = unhex(digits)
		return raw, false, ok
	}
	raw, ok = unbase64(text)
	return raw, false, ok
}

// pgpBegins reports whether b begins with the packet of a session key, one for a
// passphrase (version 4) or one for a public key (version 3).
func pgpBegins(b []byte) bool {
	if len(b) < 3 {
		return false
	}
	version := 0
	switch b[0] {
	case 0xc3, 0x8c, 0xc1, 0x84: // new, old
		version = 2
	case 0x8d, 0x85: // old, with two bytes of length
		version = 3
	default:
		return false
	}
	if b[0] == 0xc1 && b[1] >= 192 { // new, with two bytes of length
		version = 3
	}
	if len(b) <= version+1 {
		return false
	}
	if b[0]&0x3f == 3 || b[0] == 0x8c || b[0] == 0x8d {
		_, known := pgpKeySizes[b[version+1]]
		return b[version] == 4 && known
	}
	return b[version] == 3
}

// pgpDearmor decodes what follows the armor's first line.
func pgpDearmor(b []byte) ([]byte, bool) {
	b, _, found := bytes.Cut(b, []byte(pgpArmorEnd))
	if !found {
		return nil, false
	}
	// Headers end with an empty line.
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	_, b, found = bytes.Cut(b, []byte("\n\n"))
	if !found {
		return nil, false
	}
	var sum []byte
	if i := bytes.LastIndex(b, []byte("\n=")); i >= 0 {
		b, sum = b[:i], trim(b[i+2:])
	}
	raw, ok := unbase64(b)
	if !ok || sum == nil {
		return raw, ok
	}
	want, err := base64.StdEncoding.DecodeString(string(sum))
	if err != nil || len(want) != 3 {
		return nil, false
	}
	crc := uint32(0xb704ce) // RFC 4880, 6.1
	for _, c := range raw {
		crc ^= uint32(c) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864cfb
			}
		}
	}
	return raw, bytes.Equal(want, []byte{byte(crc >> 16), byte(crc >> 8), byte(crc)})
}

// pgpPacket reads one packet from the front of b.
func pgpPacket(b []byte) (tag int, body, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&0x80 == 0 {
		return 0, nil, nil, false
	}
	head := b[0]
	b = b[1:]
	if head&0x40 != 0 {
		body, rest, ok = pgpNewBody(b)
		return int(head & 0x3f), body, rest, ok
	}
	tag = int(head >> 2 & 15)
	size := 1 << (head & 3)
	if size == 8 { // to the end
		return tag, b, nil, true
	}
	if len(b) < size {
		return 0, nil, nil, false
	}
	var length [8]byte
	copy(length[8-size:], b)
	body, rest, ok = pgpCut(b[size:], binary.BigEndian.Uint64(length[:]))
	return tag, body, rest, ok
}

// pgpNewBody reads a body with its length or lengths before it: it may come in
// parts.
func pgpNewBody(b []byte) (body, rest []byte, ok bool) {
	for {
		if len(b) == 0 {
			return nil, nil, false
		}
		n, size, partial := uint64(b[0]), 1, false
		switch {
		case n < 192:
		case n < 224 && len(b) >= 2:
			n, size = (n-192)<<8+uint64(b[1])+192, 2
		case n == 255 && len(b) >= 5:
			n, size = uint64(binary.BigEndian.Uint32(b[1:])), 5
		case n >= 224 && n < 255:
			n, partial = 1<<(n&31), true
		default:
			return nil, nil, false
		}
		part, after, ok := pgpCut(b[size:], n)
		if !ok {
			return nil, nil, false
		}
		if !partial && body == nil {
			return part, after, true
		}
		body = append(body, part...)
		if b = after; !partial {
			return body, b, true
		}
	}
}

func pgpCut(b []byte, n uint64) (part, rest []byte, ok bool) {
	if n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// pgpDepth bounds compressed packets within compressed packets.
const pgpDepth = 4

// pgpLiteral returns the data of the literal packet in b.
//
// Error: ErrFormat.
func pgpLiteral(b []byte, depth int) ([]byte, error) {
	tag, body, rest, ok := pgpPacket(b)
	switch {
	case !ok || len(body) == 0 || len(rest) != 0 || depth > pgpDepth:
		return nil, damaged("what it holds is no packet of data")
	case tag == 8:
		text, err := pgpInflate(body[0], body[1:])
		if err != nil {
			return nil, err
		}
		return pgpLiteral(text, depth+1)
	case tag != 11 || len(body) < 6 || len(body) < 6+int(body[1]):
		return nil, damaged("what it holds is no packet of data")
	}
	return body[6+int(body[1]):], nil // the kind, a file's name and its time before it
}

// pgpInflate decompresses a packet's body.
func pgpInflate(algorithm byte, b []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch algorithm {
	case 0:
		return b, nil
	case 1:
		r = flate.NewReader(bytes.NewReader(b))
	case 2:
		r, err = zlib.NewReader(bytes.NewReader(b))
	case 3:
		r = bzip2.NewReader(bytes.NewReader(b))
	default:
		return nil, damaged("it is compressed in no known way")
	}
	if err != nil {
		return nil, damaged("what it holds cannot be decompressed")
	}
	return readInflated(r)
}
