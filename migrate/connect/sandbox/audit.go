package sandbox

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash/fnv"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Identity is what makes two tokens the same one to the server: importing the
// second replaces the first.
type Identity struct {
	Connector    string
	Environment  string
	Subject      Subject
	Installation string // installationId, or else installation.id
	Tenant       string // tenant.id
}

// Identity returns the token's identity.
func (t *Token) Identity() Identity {
	return Identity{t.Connector, t.Environment, t.Subject, cmp.Or(t.InstallationID, t.Installation), t.Tenant}
}

// clone returns the identity free of its body. The connector is not part of it.
func (id Identity) clone() Identity {
	for _, s := range []*string{&id.Environment, &id.Subject.Type, &id.Subject.ID, &id.Subject.Issuer, &id.Installation, &id.Tenant} {
		*s = strings.Clone(*s)
	}
	return id
}

// parts returns the identity as text in which no two identities are alike.
func (id Identity) parts() []string {
	return []string{id.Connector, id.Environment, id.Subject.Type, id.Subject.ID, id.Subject.Issuer, id.Installation, id.Tenant}
}

// Import is what the server holds for one identity.
type Import struct {
	Times              int      // how often it was imported
	First, Last        int      // the numbers of the first and the last call that imported it
	AccessTokenSHA256  [32]byte // of the last import
	RefreshTokenSHA256 [32]byte // of the last import; zero: none was sent
	AccessToken        string   // AuditFull only
	RefreshToken       string   // AuditFull only
}

// Verdict is what an answer said of one token.
type Verdict uint8

// The verdicts.
const (
	NoVerdict Verdict = iota // no answer, or one that does not name the token, or not readably
	Yes                      // succeeded: true
	No                       // succeeded: false
)

// String returns "none", "yes" or "no".
func (v Verdict) String() string { return [...]string{"none", "yes", "no"}[v] }

// SentToken is one token of an audited call.
type SentToken struct {
	Identity
	ExternalSubject    string
	ExpiresAt          int64    // Unix milliseconds
	AccessTokenSHA256  [32]byte //
	RefreshTokenSHA256 [32]byte // zero: none was sent
	AccessToken        string   // AuditFull only
	RefreshToken       string   // AuditFull only
	Imported           bool     // the server has it since this call, whatever became of the answer
	// Answered is what the answer said, where it was written to its end; the
	// client may still have lost it.
	Answered Verdict
}

// Call is one request as the server saw it.
type Call struct {
	Number    int // in order of arrival, from 1; requests for /audit are not counted
	Admitted  int // among the import calls that may play faults, from 1; 0: none of them
	At        time.Time
	Method    string
	URI       string // the request line's, as it was sent
	Connector string // decoded; empty: the request names none
	Team      string // the teamId or slug
	UserAgent string
	Status    int      // the status answered; 0: none so far, or ever
	Faults    []string // played, by name: "504+import", "shuffled"
	Tokens    []SentToken
}

// Summary is an audit in numbers. Its JSON is what `tokenmigrate sandbox`
// prints.
type Summary struct {
	Calls    int            `json:"calls"`
	Statuses map[string]int `json:"callsByStatus"` // "200": n; "none": calls without an answer so far
	Faults   map[string]int `json:"faults"`        // calls that played each
	Sent     int            `json:"tokensSent"`
	Imports  int            `json:"tokensImported"`        // each time counted
	Distinct int            `json:"distinct"`              // identities imported
	Repeated int            `json:"importedMoreThanOnce"`  // identities imported twice or more
	Refused  int            `json:"tokensAnsweredRefused"` // answers of succeeded: false
	Keys     []ImportedKey  `json:"keys,omitempty"`        // from Keys; Summary leaves it nil
}

// ImportedKey tells how often one identity was imported.
type ImportedKey struct {
	Connector    string `json:"connector"`
	Environment  string `json:"environment"`
	SubjectType  string `json:"subjectType"`
	SubjectID    string `json:"subjectId,omitempty"`
	Issuer       string `json:"issuer,omitempty"`
	Installation string `json:"installation,omitempty"`
	Tenant       string `json:"tenant,omitempty"`
	Times        int    `json:"imported"`
}

// Audit is all that a Server remembers, as of one instant.
type Audit struct {
	Calls    []Call // in order of arrival; a call still running is there as far as it got
	Imported map[Identity]Import
	Summary  Summary
}

// journal is the memory of a Server. It is safe for concurrent use.
type journal struct {
	level AuditLevel
	seed  maphash.Seed

	mu       sync.Mutex
	summary  Summary // Distinct and Repeated included
	calls    []*Call
	imported map[Identity]*Import
	times    map[uint64]uint32 // AuditOff: instead of imported
}

func newJournal(level AuditLevel) *journal {
	return &journal{
		level: level, seed: maphash.MakeSeed(),
		summary:  Summary{Statuses: map[string]int{}, Faults: map[string]int{}},
		imported: map[Identity]*Import{}, times: map[uint64]uint32{},
	}
}

// open counts a call and keeps it.
func (j *journal) open(c *Call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.summary.Calls++
	c.Number = j.summary.Calls
	j.summary.Statuses["none"]++
	if j.level != AuditOff {
		j.calls = append(j.calls, c)
	}
}

// sent notes the tokens of a call.
func (j *journal) sent(c *Call, tokens []Token) {
	var list []SentToken
	if j.level != AuditOff {
		list = make([]SentToken, len(tokens))
		for i := range tokens {
			list[i] = j.describe(&tokens[i])
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	c.Tokens = list
	j.summary.Sent += len(tokens)
}

func (j *journal) describe(t *Token) SentToken {
	s := SentToken{
		Identity: t.Identity().clone(), ExternalSubject: strings.Clone(t.ExternalSubject), ExpiresAt: t.ExpiresAt,
		AccessTokenSHA256: sha256.Sum256([]byte(t.AccessToken)),
	}
	if t.RefreshToken != "" {
		s.RefreshTokenSHA256 = sha256.Sum256([]byte(t.RefreshToken))
	}
	if j.level == AuditFull {
		s.AccessToken, s.RefreshToken = strings.Clone(t.AccessToken), strings.Clone(t.RefreshToken)
	}
	return s
}

// admit notes the call's number among those that may play faults.
func (j *journal) admit(c *Call, number int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c.Admitted = number
}

// played notes a fault.
func (j *journal) played(c *Call, fault string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c.Faults = append(c.Faults, fault)
	j.summary.Faults[fault]++
}

// store imports those tokens of a call for which keep is true.
func (j *journal) store(c *Call, tokens []Token, keep []bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range tokens {
		if !keep[i] {
			continue
		}
		times := 0
		if j.level == AuditOff {
			key := j.hash(tokens[i].Identity())
			j.times[key]++
			times = int(j.times[key])
		} else {
			times = j.upsert(c, i)
		}
		j.summary.Imports++
		switch times {
		case 1:
			j.summary.Distinct++
		case 2:
			j.summary.Repeated++
		}
	}
}

func (j *journal) upsert(c *Call, i int) (times int) {
	t := &c.Tokens[i]
	t.Imported = true
	im := j.imported[t.Identity]
	if im == nil {
		im = &Import{First: c.Number}
		j.imported[t.Identity] = im
	}
	im.Times++
	im.Last = c.Number
	im.AccessTokenSHA256, im.RefreshTokenSHA256 = t.AccessTokenSHA256, t.RefreshTokenSHA256
	im.AccessToken, im.RefreshToken = t.AccessToken, t.RefreshToken
	return im.Times
}

func (j *journal) hash(id Identity) uint64 {
	var h maphash.Hash
	h.SetSeed(j.seed)
	for _, part := range id.parts() {
		h.WriteString(part)
		h.WriteByte(0xff) // never in UTF-8
	}
	return h.Sum64()
}

// answered notes the status that is about to be written.
func (j *journal) answered(c *Call, status int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c.Status = status
	j.summary.Statuses["none"]--
	if j.summary.Statuses["none"] == 0 {
		delete(j.summary.Statuses, "none")
	}
	j.summary.Statuses[statusKey(status)]++
}

// said notes what an answer, whose last byte is about to be written, says of
// each token.
func (j *journal) said(c *Call, verdicts []Verdict) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, v := range verdicts {
		if v == No {
			j.summary.Refused++
		}
		if j.level != AuditOff {
			c.Tokens[i].Answered = v
		}
	}
}

func statusKey(status int) string {
	// The usual ones cost no allocation.
	switch status {
	case 200:
		return "200"
	case 429:
		return "429"
	}
	return string([]byte{byte('0' + status/100), byte('0' + status/10%10), byte('0' + status%10)})
}

// snapshot copies everything.
func (j *journal) snapshot() Audit {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := Audit{Calls: make([]Call, len(j.calls)), Imported: make(map[Identity]Import, len(j.imported)), Summary: j.copySummary()}
	for i, c := range j.calls {
		a.Calls[i] = *c
		a.Calls[i].Tokens = slices.Clone(c.Tokens)
		a.Calls[i].Faults = slices.Clone(c.Faults)
	}
	for id, im := range j.imported {
		a.Imported[id] = *im
	}
	return a
}

func (j *journal) copySummary() Summary {
	s := j.summary
	s.Statuses, s.Faults = maps.Clone(s.Statuses), maps.Clone(s.Faults)
	return s
}

func (j *journal) summarize() Summary {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.copySummary()
}

// imports copies what the server holds.
func (j *journal) imports() map[Identity]Import {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make(map[Identity]Import, len(j.imported))
	for id, im := range j.imported {
		all[id] = *im
	}
	return all
}

// keys lists what was imported, sorted.
func (j *journal) keys() []ImportedKey {
	list := []ImportedKey{}
	for id, im := range j.imports() {
		list = append(list, ImportedKey{
			Connector: id.Connector, Environment: id.Environment,
			SubjectType: id.Subject.Type, SubjectID: id.Subject.ID, Issuer: id.Subject.Issuer,
			Installation: id.Installation, Tenant: id.Tenant, Times: im.Times,
		})
	}
	slices.SortFunc(list, func(a, b ImportedKey) int {
		return cmp.Or(cmp.Compare(a.Connector, b.Connector), cmp.Compare(a.Environment, b.Environment),
			cmp.Compare(a.SubjectID, b.SubjectID), cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.SubjectType, b.SubjectType),
			cmp.Compare(a.Installation, b.Installation), cmp.Compare(a.Tenant, b.Tenant))
	})
	return list
}

// lot draws a number in [0,1) for a token: the same one each time for the same
// identity, seed and purpose.
func lot(t *Token, seed int64, purpose string) float64 {
	h := fnv.New64a()
	_ = binary.Write(h, binary.BigEndian, seed)
	for _, part := range append(t.Identity().parts(), purpose) {
		_, _ = h.Write(append([]byte(part), 0xff))
	}
	// FNV's high bits vary little between like texts; one multiply-and-shift
	// round spreads them.
	x := h.Sum64()
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return float64(x>>11) / (1 << 53)
}
