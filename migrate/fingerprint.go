package migrate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
)

// hashVersion is the first byte of every fingerprint and identity. It must grow
// with any change of what they are taken over, so that an old hash is never
// mistaken for a new one.
const hashVersion = 1

// hasher takes fingerprints and identities under a migration's key. It is not
// safe for concurrent use.
type hasher struct {
	key         []byte
	mac         hash.Hash
	destination string
	scratch     []byte
	sum         [sha256.Size]byte
}

func newHasher(key []byte, destination string) *hasher {
	return &hasher{key: key, mac: hmac.New(sha256.New, key), destination: destination}
}

// mark is what tells a row's token from another one's, and its size in a request body;
// the zero mark is of a row that is mapped to none.
type mark struct {
	fingerprint checkpoint.Hash
	size        int
}

// marks returns the marks of rows. It is safe for concurrent use.
func (h *hasher) marks(rows []source.Row) []mark {
	own := newHasher(h.key, h.destination)
	marks := make([]mark, len(rows))
	for i := range rows {
		if rows[i].Reason == "" {
			marks[i].fingerprint, marks[i].size = own.fingerprint(&rows[i])
		}
	}
	return marks
}

// fingerprint tells whether what would be sent differs from what was: it covers
// where the token goes and everything in it. An expiry that was made up enters
// as missing, or the token would look changed each time it is read. It also
// returns the size of the token in a request body.
func (h *hasher) fingerprint(row *source.Row) (checkpoint.Hash, int) {
	h.scratch = appendText(h.scratch[:0], "fingerprint", h.destination, row.Connector)
	start := len(h.scratch)
	h.scratch = row.Token.AppendJSON(h.scratch)
	size := len(h.scratch) - start
	if row.MadeUpExpiry {
		t := row.Token
		t.ExpiresAt = 0
		h.scratch = t.AppendJSON(h.scratch[:start])
	}
	return h.take(), size
}

// identity tells for whom a token is: two tokens of one identity replace each
// other at the endpoint, and its answer cannot tell them apart.
func (h *hasher) identity(row *source.Row) checkpoint.Hash {
	t := &row.Token
	h.scratch = appendText(h.scratch[:0], "identity", row.Connector, t.Environment,
		t.Subject.Type, t.Subject.ID, t.Subject.Issuer, t.InstallationID, t.Tenant.ID)
	return h.take()
}

// text hashes parts of a target that may hold secrets.
func (h *hasher) text(s string) checkpoint.Hash {
	h.scratch = appendText(h.scratch[:0], "text", s)
	return h.take()
}

func (h *hasher) take() checkpoint.Hash {
	h.mac.Reset()
	h.mac.Write(h.scratch)
	var out checkpoint.Hash
	out[0] = hashVersion
	copy(out[1:], h.mac.Sum(h.sum[:0]))
	return out
}

// appendText appends texts so that no two lists give the same bytes.
func appendText(dst []byte, texts ...string) []byte {
	for _, s := range texts {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// item is a token on its way to a call.
type item struct {
	key         string
	connector   string
	token       connect.Token
	madeUp      bool // the expiry is made up
	size        int  // bytes in a request body
	fingerprint checkpoint.Hash
	identity    checkpoint.Hash
	standing    standing // how it is counted now
	sent        bool     // by this run, whatever came of it
	known       bool     // the checkpoint has a row for its key
	others      int      // keys that were sent for its identity, but for its own; all of them gone
	seen        string   // what is known of these keys, where other shards are at work
	contested   bool     // another shard has claimed its identity: it is judged anew before it is sent
}

func (it *item) place() place {
	return place{Connector: it.connector, Environment: it.token.Environment}
}

func (it *item) asSent() checkpoint.Sent {
	return checkpoint.Sent{Key: it.key, Environment: it.token.Environment, Fingerprint: it.fingerprint, Identity: it.identity, Others: it.others, Seen: it.seen, Known: it.known}
}
