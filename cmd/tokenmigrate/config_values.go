package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v4"
)

var (
	migrationName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	schemaName    = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)
	plainKey      = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,60}$`)
)

// value is one scalar of the file. Its text is what counts; it is "" while the
// value is absent, or broken.
type value struct {
	s      *section
	name   string
	path   string
	line   int
	used   bool
	given  bool // there, and not null
	usable bool // given, and text holds it in full
	raw    string
	text   string
	refs   []string // the ${...} in it, as written
	file   string   // the path, where the value is one ${file:...} and nothing else
}

// read takes the value from its node.
func (v *value) read(f field) {
	v.given = true
	switch f.node.Kind {
	case yaml.ScalarNode:
	case yaml.AliasNode:
		v.problem("is a YAML alias, which is not supported; write the value out")
		return
	default:
		v.problem("is %s; a single value is expected", kindOf(f.node))
		return
	}
	switch tag := f.node.ShortTag(); tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
	default:
		v.problem("has a YAML tag, which is not supported; write the value without it")
		return
	}
	v.raw = f.node.Value
	parts, err := splitParts(v.raw)
	if err != nil {
		v.problem("%v", err)
		return
	}
	v.expand(parts)
}

// expand puts the parts together. References of a value that the command does
// not use stay closed, and the value is broken without a word.
func (v *value) expand(parts []part) {
	for _, p := range parts {
		if p.isRef() {
			v.refs = append(v.refs, p.String())
		}
	}
	if len(v.refs) > 0 && !v.used {
		return
	}
	var text strings.Builder
	ok := true
	for _, p := range parts {
		piece, err := p.expand(v.s.l.getenv)
		if err != nil {
			v.problem("%v", err)
			ok = false
		}
		if p.isRef() {
			v.s.l.secrets = append(v.s.l.secrets, piece)
		}
		text.WriteString(piece)
	}
	if !ok {
		return
	}
	if len(parts) == 1 {
		v.file = parts[0].file
	}
	v.text, v.usable = text.String(), true
}

// broken reports whether the value is there but cannot be used.
func (v *value) broken() bool { return v.given && !v.usable }

// filled reports whether there is a value, and one that is not empty.
func (v *value) filled() bool { return v.text != "" }

// blank reports whether the value is absent or empty.
func (v *value) blank() bool { return !v.broken() && v.text == "" }

func (v *value) problem(format string, args ...any) { v.s.l.problem(v.line, v.path, format, args...) }

// warn notes what is worth a word, if the command uses the value.
func (v *value) warn(format string, args ...any) {
	if l := v.s.l; v.used {
		l.warnings = append(l.warnings, problem{File: l.file, Line: v.line, Key: v.path, Text: fmt.Sprintf(format, args...)})
	}
}

// of begins a sentence about the value: empty, since the key stands before it,
// unless it came from elsewhere.
func (v *value) of() string {
	if len(v.refs) == 0 {
		return ""
	}
	verb := "made with "
	if len(v.refs) == 1 && v.refs[0] == v.raw {
		verb = "of "
	}
	return "the value " + verb + strings.Join(slices.Compact(slices.Clone(v.refs)), " and ") + " "
}

// says quotes the value as far as it is written out in the file. It is not for
// keys that may hold a secret.
func (v *value) says() string {
	if len(v.refs) > 0 {
		return strings.TrimSuffix(v.of(), " ")
	}
	return strconv.Quote(brief(v.raw))
}

// require notes a value that the command uses and that is absent or empty, and
// reports whether there is one.
func (v *value) require(remedy string) bool {
	if v.blank() && v.used && !v.s.broken {
		if v.given {
			v.problem("%sis empty; %s", v.of(), remedy)
		} else {
			v.problem("is missing; %s", remedy)
		}
	}
	return v.filled()
}

// requireText notes an entry that is empty.
func (v *value) requireText(remedy string) {
	if v.blank() {
		v.problem("%sis empty; %s", v.of(), remedy)
	}
}

// word returns a scalar that may not hold spaces or control characters.
func (s *section) word(name string) *value {
	v := s.text(name)
	v.checkWord()
	return v
}

func (v *value) checkWord() {
	if strings.ContainsFunc(v.text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		v.problem("%sholds spaces or unprintable characters; remove them", v.of())
	}
}

// scalarWithin returns what parse makes of the scalar under a key, within [least,
// most], or def where it is absent or wrong. parse's error says what is
// expected; show spells a bound.
func scalarWithin[T int | time.Duration | Share](s *section, name string, def, least, most T,
	parse func(string) (T, error), show func(T) string) T {
	v := s.text(name)
	if !v.usable {
		return def
	}
	n, err := parse(strings.TrimSpace(v.text))
	switch {
	case err != nil:
		v.problem("%s is not %v", v.says(), err)
	case n < least || n > most:
		v.problem("%s is out of range; use %s to %s", v.says(), show(least), show(most))
	default:
		return n
	}
	return def
}

func (s *section) integer(name string, def, least, most int) int {
	return scalarWithin(s, name, def, least, most, parseInteger, strconv.Itoa)
}

func (s *section) duration(name string, def, least, most time.Duration) time.Duration {
	return scalarWithin(s, name, def, least, most, parseDuration, showDuration)
}

func (s *section) size(name string, def, least, most int) int {
	return scalarWithin(s, name, def, least, most, parseSize, showSize)
}

func (s *section) share(name string, def Share) Share {
	return scalarWithin(s, name, def, 1, 100*percent, parseShare, Share.String)
}

// choice returns one of a few words; the first is the default.
func (s *section) choice(name string, words ...string) string {
	v := s.text(name)
	if !v.usable || slices.Contains(words, v.text) {
		if v.usable {
			return v.text
		}
		return words[0]
	}
	v.problem("%s is not known; use %s", v.says(), either(words))
	return words[0]
}

// either lists at least two words as a, b or c.
func either(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func parseInteger(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrRange) {
		if strings.HasPrefix(text, "-") {
			return math.MinInt, nil
		}
		return math.MaxInt, nil
	}
	if err != nil {
		return 0, errors.New("a whole number; write digits only")
	}
	return n, nil
}

var durationPart = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)`)

var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// parseDuration reads numbers with units, such as 90s, 1h30m or 3650d. A day is
// 24 hours. More than 292 years come back as the longest duration there is.
func parseDuration(text string) (time.Duration, error) {
	sum, rest := 0.0, text
	for rest != "" || text == "" {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return 0, errors.New("a duration; write a number with one of the units ms, s, m, h, d, w, such as 60s or 3650d")
		}
		n, _ := strconv.ParseFloat(m[1], 64) // the pattern admits nothing else; too large is +Inf
		sum += n * float64(durationUnits[m[2]])
		rest = rest[len(m[0]):]
	}
	if sum >= math.MaxInt64 {
		return math.MaxInt64, nil
	}
	return time.Duration(math.Round(sum)), nil
}

// showDuration writes a duration in its largest whole unit.
func showDuration(d time.Duration) string {
	for _, unit := range []string{"d", "h", "m", "s"} {
		if u := durationUnits[unit]; d >= u && d%u == 0 {
			return fmt.Sprintf("%d%s", d/u, unit)
		}
	}
	return d.String()
}

var sizePattern = regexp.MustCompile(`^([0-9]+) ?(|B|[kK]B|MB|GB|KiB|MiB|GiB)$`)

var sizeUnits = map[string]float64{
	"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}

// parseSize reads a number of bytes, with or without a unit.
func parseSize(text string) (int, error) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, errors.New("a size; write a whole number with or without one of the units KiB, MiB, kB, MB, such as 512KiB")
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	return int(min(n*sizeUnits[m[2]], math.MaxInt32)), nil
}

func showSize(n int) string {
	switch {
	case n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return strconv.Itoa(n)
}

// Share is a part of a whole, in millionths.
type Share int

const percent Share = 10_000

// Of returns how many of n the share is, rounded down. n is 0 or more and below 2^43.
func (s Share) Of(n int64) int64 { return n * int64(s) / (100 * int64(percent)) }

// String returns the share in percent.
func (s Share) String() string {
	return strconv.FormatFloat(float64(s)/float64(percent), 'f', -1, 64) + "%"
}

var sharePattern = regexp.MustCompile(`^([0-9]+)(?:\.([0-9]{1,4}))? ?%$`)

func parseShare(text string) (Share, error) {
	m := sharePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, errors.New("a share; write a percentage with at most 4 decimals, such as 20% or 0.1%")
	}
	whole, err := strconv.Atoi(m[1])
	if err != nil || whole > 100 {
		return math.MaxInt32, nil
	}
	parts, _ := strconv.Atoi((m[2] + "0000")[:4])
	return Share(whole)*percent + Share(parts), nil
}

// MaxFailed is how many tokens may fail: a number, or a share of the rows. At
// most one of the two is not zero.
type MaxFailed struct {
	Tokens int64
	Share  Share
}

// Of returns the number of tokens that may fail when there are that many rows.
func (m MaxFailed) Of(rows int64) int64 { return max(m.Tokens, m.Share.Of(rows)) }

func (s *section) maxFailed(name string) MaxFailed {
	v := s.text(name)
	if !v.usable {
		return MaxFailed{}
	}
	text := strings.TrimSpace(v.text)
	n, notNumber := parseInteger(text)
	share, notShare := parseShare(text)
	switch {
	case notNumber != nil && notShare != nil:
		v.problem("%s is neither a number nor a share; write a number of tokens, or a percentage with at most 4 decimals such as 0.1%%", v.says())
	case notNumber == nil && n < 0, notShare == nil && share > 100*percent:
		v.problem("%s is out of range; use 0 or more tokens, or 0%% to 100%%", v.says())
	case notNumber == nil:
		return MaxFailed{Tokens: int64(n)}
	default:
		return MaxFailed{Share: share}
	}
	return MaxFailed{}
}

// The bounds of missing_expiry. What would end more than 50 years from now
// counts as not known.
const (
	leastExpiry = time.Minute
	mostExpiry  = 18_250 * 24 * time.Hour
)

// expiryDefault stands for every provider that missing_expiry does not name.
const expiryDefault = "default"

// missingExpiry reads reject, a duration, or either by provider. It also returns the
// providers that are named.
func (s *section) missingExpiry() (MissingExpiry, []*value) {
	const name = "missing_expiry"
	f, given := s.find(name)
	if !given || f.node.Kind != yaml.MappingNode {
		v := s.text(name)
		return MissingExpiry{Default: v.expiry(), Given: v.filled()}, nil
	}
	s.values[name] = &value{s: s}
	m, providers := MissingExpiry{Given: true}, []*value(nil)
	for _, v := range s.entries(name) {
		v.requireText("write reject or a duration")
		if v.name == expiryDefault {
			m.Default = v.expiry()
			continue
		}
		putEntry(&m.ByProvider, v.name, v.expiry())
		providers = append(providers, v)
	}
	return m, providers
}

// expiry reads reject, which is 0, or a duration.
func (v *value) expiry() time.Duration {
	text := strings.TrimSpace(v.text)
	if text == "" || text == "reject" {
		return 0
	}
	d, err := parseDuration(text)
	switch {
	case err != nil:
		v.problem("%s is neither reject nor a duration; write reject, or how long such a token lasts, such as 12h or 3650d", v.says())
	case d < leastExpiry || d > mostExpiry:
		v.problem("%s is out of range; use %s to %s", v.says(), showDuration(leastExpiry), showDuration(mostExpiry))
	default:
		return d
	}
	return 0
}

// nearest returns the word that is most like name, or "" if none is.
func nearest(name string, words []string) string {
	best, at := "", max(2, len(name)/3)+1
	for _, w := range words {
		if d := editDistance(strings.ToLower(name), w); d < at {
			best, at = w, d
		}
	}
	return best
}

// editDistance counts the bytes to insert, remove or change to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
