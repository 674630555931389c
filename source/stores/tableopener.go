package stores

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the zones of Laravel applications, also where the system has none

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// tableOpener opens the rows of a table of an app's own: columns that may be
// encrypted, a token response, and lifetimes in seconds.
type tableOpener struct {
	sealed   []sealedColumn
	inputs   []string // those for times, and for the ciphers
	response bool     // the query has a token_response
	// has are the columns of package source that the query has: a response's values
	// do not take their place.
	has  map[string]bool
	zone *time.Location
}

// sealedColumn is a column of the query that may be encrypted.
type sealedColumn struct {
	name   string        // access_token, refresh_token or token_response
	cipher cipher.Cipher // nil: it never is
	// with are the names of the cipher's Value.With to the inputs that hold them;
	// fixed those whose values are the same for all rows.
	with, fixed map[string]string
	strict      bool // what does not look encrypted is an error, not plain
	// guarded is strict where the parameter plain could allow it.
	guarded bool
}

// newTableOpener returns what opens tableQuery(p). column returns how a column is
// encrypted, by its name in the query and in the table; the names of its inputs
// must be in inputs.
//
// Error: *source.ConfigError for an unknown timezone.
func newTableOpener(p Params, inputs []string, column func(name, inTable string) (sealedColumn, error)) (*tableOpener, error) {
	o := &tableOpener{inputs: append(tableTimes(p), inputs...), response: p["response"] != "", zone: time.UTC,
		has: map[string]bool{"scopes": p["scopes"] != "", "refresh_token_expires_at": p["refresh_token_expires_at"] != ""}}
	if name := p["timezone"]; name != "" {
		zone, err := time.LoadLocation(name)
		if err != nil || strings.EqualFold(name, "local") {
			return nil, paramError("timezone", strconv.Quote(name)+" is no time zone; use a name such as Europe/Berlin")
		}
		o.zone = zone
	}
	for _, c := range [][2]string{{"access_token", p["access_token"]}, {"refresh_token", p["refresh_token"]}, {tableResponse, p["response"]}} {
		if c[1] == "" {
			continue
		}
		s, err := column(c[0], c[1])
		if err != nil {
			return nil, err
		}
		s.name = c[0]
		o.sealed = append(o.sealed, s)
	}
	return o, nil
}

// sameCipher is newTableOpener's column where one cipher opens all.
func sameCipher(c cipher.Cipher) func(name, inTable string) (sealedColumn, error) {
	return func(string, string) (sealedColumn, error) { return sealedColumn{cipher: c}, nil }
}

// plainParam says what becomes of values that do not look encrypted.
var plainParam = Param{Name: "plain", Default: "refused", Doc: "values that do not look encrypted: refused, or allowed, taken as they are", Choices: []string{"refused", "allowed"}}

// plainMarked is plainParam of ciphers whose values say what they are, so that the
// value decides.
var plainMarked = Param{Name: "plain", Default: "allowed", Doc: "values that do not look encrypted: allowed, taken as they are, or refused", Choices: plainParam.Choices}

// of returns the parameter with words before its text.
func (p Param) of(words string) Param {
	p.Doc = words + p.Doc
	return p
}

// errLooksPlain: the store's cipher is in use, and the value is not one of its.
var errLooksPlain = errors.New("it does not look encrypted as the store has it; if it is a plain token, set source.params.plain: allowed")

// keysGiven reports whether any key is.
func keysGiven(keys Keys) bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(keys)), func(k connect.Secret) bool { return !k.Empty() })
}

// guardedCipher is sameCipher for values that may be wrapped, and are plain only
// as p allows it; see plainMarked.
func guardedCipher(c cipher.Cipher, p Params) func(name, inTable string) (sealedColumn, error) {
	guarded := p["plain"] == "refused"
	return func(string, string) (sealedColumn, error) {
		return sealedColumn{cipher: cipher.Unwrap(c), guarded: guarded}, nil
	}
}

func (o *tableOpener) Inputs() []string {
	if o.response {
		return append([]string{tableResponse}, o.inputs...)
	}
	return o.inputs
}

func (o *tableOpener) Open(in source.Values) (source.Opened, error) {
	out := source.Opened{Values: source.Values{}}
	texts := map[string]string{}
	for i := range o.sealed {
		s := &o.sealed[i]
		text := in[s.name]
		if text == "" {
			continue
		}
		v := s.value(in)
		switch {
		case s.guarded && !s.cipher.Sealed(v):
			return out, fmt.Errorf("%s: %w", s.told(), errLooksPlain)
		case s.cipher == nil || !s.strict && !s.cipher.Sealed(v):
			out.Plain++
		default:
			plain, err := s.cipher.Open(v)
			if err != nil {
				return out, fmt.Errorf("%s: %w", s.told(), err)
			}
			out.Decrypted++
			text = string(plain)
			if s.name != tableResponse {
				out.Values[s.name] = text
			}
		}
		texts[s.name] = text
	}
	var response tokenResponse
	if text := strings.TrimSpace(texts[tableResponse]); text != "" {
		var err error
		if response, err = readTokenResponse(text); err != nil {
			return out, err
		}
		if response.oauth1 && texts["access_token"] == "" {
			out.Skip = skipOAuth1
			return out, nil
		}
	}
	for name, text := range map[string]string{"access_token": response.access, "refresh_token": response.refresh, "scopes": response.scopes} {
		if text != "" && texts[name] == "" && !o.has[name] {
			out.Values[name], texts[name] = text, text
		}
	}
	if texts["access_token"] == "" {
		out.Skip = skipNoToken
		return out, nil
	}
	o.times(in, &response, out.Values)
	return out, nil
}

// told returns the column's name as parameters have it.
func (s *sealedColumn) told() string { return strings.ReplaceAll(s.name, tableResponse, "response") }

// value is what the cipher gets of a row.
func (s *sealedColumn) value(in source.Values) cipher.Value {
	v := cipher.Value{Data: []byte(in[s.name])}
	if len(s.with)+len(s.fixed) > 0 {
		v.With = map[string]string{}
		for name, text := range s.fixed {
			v.With[name] = text
		}
		for name, input := range s.with {
			v.With[name] = in[input]
		}
	}
	return v
}

// times sets the expiries: the table's own first, then the response's; absolute
// ones before lifetimes.
func (o *tableOpener) times(in source.Values, r *tokenResponse, out source.Values) {
	issued, known := parseMoment(in[tableIssuedAt], o.zone)
	if at, ok := parseMoment(r.issued, o.zone); ok {
		issued, known = at, true
	}
	after := func(seconds string) string {
		n, err := strconv.ParseFloat(seconds, 64)
		switch {
		case err != nil || !(n > 0) || n > 1e14:
			return ""
		case n >= 1e9: // no lifetime but a time, as some write it by mistake
			return seconds
		case !known:
			return ""
		}
		return strconv.FormatInt(issued.UnixMilli()+int64(n*1000), 10)
	}
	first := func(name string, choices ...string) {
		for _, text := range choices {
			if text != "" && text != "0" {
				out[name] = text
				return
			}
		}
	}
	first("refresh_token_expires_at", o.absolute(in[tableRefreshAt]))
	first("expires_at", o.absolute(in[tableExpiresAt]), after(in[tableExpiresIn]), o.absolute(r.expiresAt), after(r.expiresIn))
	if !o.has["refresh_token_expires_at"] {
		first("refresh_token_expires_at", o.absolute(r.refreshExpiresAt), after(r.refreshExpiresIn))
	}
}

// absolute returns a time with its zone, where it has none of its own; all else
// as it is.
func (o *tableOpener) absolute(text string) string {
	if o.zone != time.UTC {
		if at, err := time.ParseInLocation(zoneless, strings.Replace(text, "T", " ", 1), o.zone); err == nil {
			return strconv.FormatInt(at.UnixMilli(), 10)
		}
	}
	return text
}

// zoneless is a timestamp without a zone as Postgres and programs write it; a
// fraction may follow.
const zoneless = "2006-01-02 15:04:05"

// parseMoment reads seconds or milliseconds since 1970, or an ISO time; without a
// zone of its own it is in zone.
func parseMoment(text string, zone *time.Location) (time.Time, bool) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		if n < 1e11 {
			n *= 1000
		}
		return time.UnixMilli(int64(n)), n > 0 && n < 1e15
	}
	text = strings.Replace(text, "T", " ", 1)
	for _, layout := range []string{zoneless, zoneless + "Z07:00", zoneless + "Z0700", zoneless + "Z07", zoneless + " MST"} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// tokenResponse is a provider's answer to a token request as apps keep it. Its
// fields are texts, "" where they are missing.
type tokenResponse struct {
	access, refresh, scopes                                          string
	expiresAt, expiresIn, refreshExpiresAt, refreshExpiresIn, issued string
	oauth1                                                           bool
}

// readTokenResponse reads a JSON object, or a JSON text that holds one.
func readTokenResponse(text string) (r tokenResponse, err error) {
	doc, ok := parseDocument([]byte(text))
	if !ok {
		return r, errors.New("response: it is not a JSON object")
	}
	if inner, ok := doc["tokens"].(map[string]any); ok && doc.text("access_token") == "" {
		doc = inner
	}
	r = tokenResponse{
		access:           doc.text("access_token", "accessToken", "token"),
		refresh:          doc.text("refresh_token", "refreshToken"),
		expiresAt:        doc.text("expires_at", "expiresAt", "expiry_date", "expiryDate", "expires_on", "expiresOn", "expiry", "token_expiry"),
		expiresIn:        doc.text("expires_in", "expiresIn"),
		refreshExpiresAt: doc.text("refresh_token_expires_at", "refreshTokenExpiresAt"),
		refreshExpiresIn: doc.text("refresh_token_expires_in", "refreshTokenExpiresIn", "refresh_expires_in", "x_refresh_token_expires_in"),
		issued:           doc.text("created", "created_at", "issued_at", "obtained_at", "issuedAt", "createdAt"),
		oauth1:           doc.text("oauth_token") != "" && doc.text("oauth_token_secret") != "",
	}
	for _, name := range []string{"scope", "scopes", "granted_scopes", "approvedScopes"} {
		if r.scopes == "" {
			r.scopes = doc.list(name)
		}
	}
	return r, nil
}

// neverNeeded is Key.Needed of keys that few stores have.
func neverNeeded(source.Values) bool { return false }

// keyTexts returns a key that may be a list: the whole text, which may have
// commas of its own, and its parts.
func keyTexts(keys Keys, name string) []connect.Secret {
	list := keys.List(name)
	if len(list) > 1 || len(list) == 1 && list[0].Reveal() != keys[name].Reveal() {
		list = append(list, keys[name])
	}
	return list
}
