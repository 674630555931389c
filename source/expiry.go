package source

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"
)

var (
	// earliest is the first moment that can be an expiry; what is before it is a
	// zero, a lifetime or a broken clock.
	earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	// postgresEpoch is what Postgres counts timestamps from.
	postgresEpoch = earliest
)

const (
	// latestYears ahead of now, an expiry stands for "never" or a wrong unit.
	latestYears = 50
	// secondsBelow: a number below it counts seconds (up to the year 5138), from
	// it on milliseconds (from March 1973).
	secondsBelow = 1e11
)

// readTime reads an expiry as Unix milliseconds; 0 means not known. It reports
// false for text that is neither a time nor a number.
func readTime(v value, now time.Time) (ms int64, ok bool) {
	switch v.kind {
	case kindNone:
		return 0, true
	case kindTime:
		ms, ok = binaryTime(v.text)
	case kindFloat:
		ms, ok = binaryFloat(v.text)
	default:
		ms, ok = textTime(v.text)
	}
	if !ok {
		return 0, false
	}
	if ms < earliest || ms > now.AddDate(latestYears, 0, 0).UnixMilli() {
		return 0, true
	}
	return ms, true
}

// binaryTime reads a timestamp: microseconds since 2000, both ends infinite.
func binaryTime(data string) (int64, bool) {
	if len(data) != 8 {
		return 0, false
	}
	us := int64(binary.BigEndian.Uint64([]byte(data)))
	return postgresEpoch + us/1000, true // rounds to zero before 2000 only, which is not known
}

// binaryFloat reads a float4 or float8.
func binaryFloat(data string) (int64, bool) {
	var f float64
	bits := 8 * len(data)
	switch len(data) {
	case 4:
		f = float64(math.Float32frombits(binary.BigEndian.Uint32([]byte(data))))
	case 8:
		f = math.Float64frombits(binary.BigEndian.Uint64([]byte(data)))
	default:
		return 0, false
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, true
	}
	// By way of decimals: 1735689600.123 times 1000 is not whole in floats.
	return decimalTime(strconv.FormatFloat(f, 'f', -1, bits))
}

// textTime reads a number or an ISO time as text.
func textTime(text string) (int64, bool) {
	text = strings.Trim(text, " \t\r\n")
	switch strings.ToLower(strings.TrimLeft(text, "+-")) {
	case "":
		return 0, text == ""
	case "infinity", "inf", "nan":
		return 0, true
	}
	if ms, ok := decimalTime(text); ok {
		return ms, true
	}
	if ms, ok := isoTime(text); ok {
		return ms, true
	}
	// 1.7356896e9, as programs print numbers they do not know to be times.
	if strings.ContainsAny(text, "eE") && strings.Trim(text, "0123456789.+-eE") == "" {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return decimalTime(strconv.FormatFloat(f, 'f', -1, 64))
		}
	}
	return 0, false
}

// decimalTime reads a decimal number of seconds or milliseconds, with an
// optional sign and fraction. It rounds down to milliseconds.
func decimalTime(text string) (int64, bool) {
	negative := strings.HasPrefix(text, "-")
	if negative || strings.HasPrefix(text, "+") {
		text = text[1:]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	if whole+fraction == "" || !digits(whole) || !digits(fraction) {
		return 0, false
	}
	if negative {
		return 0, true
	}
	whole = strings.TrimLeft(whole, "0")
	if len(whole) > 17 { // beyond any year that matters, and near to overflow
		return math.MaxInt64, true
	}
	n, _ := strconv.ParseInt("0"+whole, 10, 64)
	if n >= secondsBelow {
		return n, true
	}
	ms, _ := strconv.ParseInt((fraction + "000")[:3], 10, 64)
	return n*1000 + ms, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// isoTime reads 2025-01-31, with T or a space 15:04 or 15:04:05, a fraction, and
// a zone: Z, UTC, +01, +0100 or +01:00; without one it is UTC. Years may have up
// to six digits (JavaScript's last day is in +275760).
func isoTime(text string) (int64, bool) {
	p := parser{rest: text}
	p.skip("+")
	year := p.number(4, 6)
	p.want("-")
	month := p.number(2, 2)
	p.want("-")
	day := p.number(2, 2)
	var hour, minute, second, ms, offset int
	if p.skip("T") || p.skip("t") || p.rest != "" && p.rest != " BC" && p.skip(" ") {
		hour = p.number(2, 2)
		p.want(":")
		minute = p.number(2, 2)
		if p.skip(":") {
			second = p.number(2, 2)
			if p.skip(".") || p.skip(",") {
				ms = p.fraction()
			}
		}
		offset = p.zone()
	}
	beforeChrist := p.skip(" BC")
	days := time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
	if p.bad || p.rest != "" || month < 1 || month > 12 || day < 1 || day > days || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	if beforeChrist {
		return 0, true
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).UnixMilli() + int64(ms) - int64(offset)*1000, true
}

// parser eats text from the front and remembers whether anything was wrong.
type parser struct {
	rest string
	bad  bool
}

func (p *parser) skip(s string) bool {
	rest, found := strings.CutPrefix(p.rest, s)
	p.rest = rest
	return found
}

func (p *parser) want(s string) { p.bad = !p.skip(s) || p.bad }

// number eats at least least and at most most digits.
func (p *parser) number(least, most int) int {
	n := 0
	for n < most && n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
		n++
	}
	p.bad = p.bad || n < least
	number, _ := strconv.Atoi("0" + p.rest[:n])
	p.rest = p.rest[n:]
	return number
}

// fraction eats the digits of a fraction of a second and returns milliseconds.
func (p *parser) fraction() int {
	n := len(p.rest) - len(strings.TrimLeft(p.rest, "0123456789"))
	p.bad = p.bad || n == 0
	ms, _ := strconv.Atoi((p.rest[:n] + "000")[:3])
	p.rest = p.rest[n:]
	return ms
}

// zone eats an optional zone and returns its offset in seconds east.
func (p *parser) zone() int {
	if p.rest != " BC" {
		p.skip(" ")
	}
	if p.skip("Z") || p.skip("z") || p.skip("UTC") || p.skip("GMT") {
		return 0
	}
	sign := 1
	switch {
	case p.skip("+"):
	case p.skip("-"):
		sign = -1
	default:
		return 0
	}
	seconds := 3600 * p.number(2, 2)
	for _, unit := range []int{60, 1} {
		if p.skip(":") || p.rest != "" && p.rest[0] >= '0' && p.rest[0] <= '9' {
			seconds += unit * p.number(2, 2)
		}
	}
	p.bad = p.bad || seconds >= 24*3600
	return sign * seconds
}
