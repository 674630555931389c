package source

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source/cipher"
)

// mapper turns result rows into Rows. It is pure but for the Opener, and not
// safe for concurrent use: the row at work is its own.
type mapper struct {
	columns []column
	o       Options

	values [fieldCount]value
	extra  []value // by column, those for the Opener
}

// value is one column's value in one row. The zero value is an absent column,
// which counts as NULL.
type value struct {
	kind kind // kindNone: absent or NULL
	text string
}

func newMapper(columns []column, o Options) *mapper {
	return &mapper{columns: columns, o: o, extra: make([]value, len(columns))}
}

// row maps the values of one result row, read at now, into row, which is zero but
// for the Key: that is the caller's to set. all holds the values end to end, and ends
// where each of them ends, as in a batch. The first problem, in the order of the calls
// below, decides the reason.
func (m *mapper) row(row *Row, all string, ends []int, now time.Time) {
	m.load(all, ends)
	t := &row.Token
	m.checkText(row, fProvider, fConnector)
	m.checkConnector(row)
	if reason := m.text(fSkip); reason != "" {
		m.skip(row, Reason(reason))
	}
	m.route(row)
	m.open(row)
	if row.Reason == "" {
		t.AccessToken = m.credential(row, fAccessToken)
		t.RefreshToken = m.credential(row, fRefreshToken)
	}
	m.subject(row)
	m.environment(row)
	if row.Reason == "" {
		m.expiry(row, now)
		m.rest(row)
	}
	if row.Reason != "" {
		row.MadeUpExpiry = false
		row.Token = connect.Token{Environment: t.Environment, Subject: t.Subject}
	}
}

// load takes a row's values apart. All are parts of one string: one allocation a row,
// and no row holds its neighbours in memory.
func (m *mapper) load(all string, ends []int) {
	m.values = [fieldCount]value{} // an Opener may have set what is no column
	start := 0
	for i := range m.columns {
		c, end, v := &m.columns[i], ends[i], value{}
		if end < 0 {
			end = -1 - end
		} else if v = (value{c.kind, all[start:end]}); c.kind == kindPadded {
			v = value{kindText, strings.TrimRight(v.text, " ")}
		}
		start = end
		if c.field == fInput {
			m.extra[i] = v
			continue
		}
		m.values[c.field] = v
	}
}

// fail notes the first problem of a row.
func (row *Row) fail(reason Reason, detail string) {
	if row.Reason == "" {
		row.Reason, row.Detail = reason, detail
	}
}

// text returns a text column's value; "" for NULL.
func (m *mapper) text(f field) string { return m.values[f].text }

// checkText fails a row whose columns hold what JSON text cannot.
func (m *mapper) checkText(row *Row, fields ...field) {
	for _, f := range fields {
		if problem := textProblem(m.text(f)); problem != "" {
			row.fail(ReasonInvalidField, f.String()+" "+problem)
			m.values[f] = value{} // not to be told or sent anywhere
		}
	}
}

// checkConnector fails a row whose connector column holds a credential, by a query's
// mistake: connectors stand in URLs, in the checkpoint and in reports.
func (m *mapper) checkConnector(row *Row) {
	text := m.text(fConnector)
	if text == "" || !looksSecret(text) && !shares(text, m.text(fAccessToken)) && !shares(text, m.text(fRefreshToken)) {
		return
	}
	row.fail(ReasonInvalidField, "connector looks like a credential, and connectors are stored and printed; select the connector's id or uid")
	m.values[fConnector] = value{}
}

// textProblem says why text cannot be sent, or "".
func textProblem(text string) string {
	switch {
	case !utf8.ValidString(text):
		return "is not valid UTF-8"
	case strings.IndexByte(text, 0) >= 0:
		return "contains a NUL byte"
	}
	return ""
}

// route chooses the connector.
func (m *mapper) route(row *Row) {
	row.Provider = m.text(fProvider)
	row.Connector = m.text(fConnector)
	if row.Connector == "" {
		row.Connector = m.o.Routes.Connector
	}
	if row.Connector != "" {
		return
	}
	connector, known := m.o.Routes.ByProvider[row.Provider]
	switch {
	case row.Reason != "": // it has ended; the connector only says where it belongs
		if connector != Skip {
			row.Connector = connector
		}
	case known && connector == Skip:
		row.fail(ReasonExcluded, "provider "+m.quote(row, row.Provider)+" is left out by the configuration")
	case known && connector != "":
		row.Connector = connector
	case row.Provider == "":
		row.fail(ReasonUnknownProvider, "the row names neither a connector nor a provider")
	default:
		row.fail(ReasonUnknownProvider, "no connector is configured for provider "+m.quote(row, row.Provider))
	}
}

// credential returns the value of access_token or refresh_token.
func (m *mapper) credential(row *Row, f field) connect.Secret {
	text := m.text(f)
	if text == "" {
		if f == fAccessToken {
			row.fail(ReasonMissingAccessToken, "access_token is NULL or empty")
		}
		return connect.Secret{}
	}
	if problem := textProblem(text); problem != "" {
		row.fail(ReasonInvalidField, f.String()+" "+problem)
		return connect.Secret{}
	}
	if by := cipher.Resembles(text); by != "" {
		row.fail(ReasonDecryptFailed, f.String()+" is no token but still encrypted, it looks like "+by+"; name the store whose cipher opens it, see `tokenmigrate stores`")
		return connect.Secret{}
	}
	return connect.NewSecret(text)
}

// subject says whose token it is.
func (m *mapper) subject(row *Row) {
	m.checkText(row, fSubjectType, fSubjectID, fSubjectIssuer)
	s := &row.Token.Subject
	switch kind := m.text(fSubjectType); kind {
	case "", connect.SubjectUser:
		s.Type, s.ID, s.Issuer = connect.SubjectUser, m.text(fSubjectID), m.text(fSubjectIssuer)
		if s.ID == "" {
			row.fail(ReasonMissingSubject, "subject_id is NULL or empty")
		}
	case connect.SubjectApp:
		s.Type = connect.SubjectApp
	default:
		row.fail(ReasonInvalidField, "subject_type "+m.quote(row, kind)+" is neither user nor app")
	}
}

func (m *mapper) environment(row *Row) {
	m.checkText(row, fEnvironment)
	name := m.text(fEnvironment)
	if name == "" {
		name = m.o.Environment
	}
	if !connect.ValidEnvironment(name) {
		row.fail(ReasonInvalidEnvironment, "environment "+m.quote(row, name)+" is none of development, preview, production and env_...")
		return
	}
	row.Token.Environment = name
}

// expiry sets both expiries.
func (m *mapper) expiry(row *Row, now time.Time) {
	at, ok := readTime(m.values[fExpiresAt], now)
	switch {
	case !ok:
		row.fail(ReasonInvalidExpiry, m.badTime(row, fExpiresAt))
	case at != 0:
		row.Token.ExpiresAt = at
	default:
		d := m.o.MissingExpiry.forProvider(row.Provider)
		if d == 0 {
			row.fail(ReasonMissingExpiry, "expires_at is not known (NULL, zero, infinite, before 2000 or more than 50 years ahead)")
			return
		}
		row.Token.ExpiresAt = now.Add(d).UnixMilli()
		row.MadeUpExpiry = true
	}
	at, ok = readTime(m.values[fRefreshTokenExpiresAt], now)
	if !ok {
		row.fail(ReasonInvalidExpiry, m.badTime(row, fRefreshTokenExpiresAt))
	}
	if !row.Token.RefreshToken.Empty() { // else it says something of nothing
		row.Token.RefreshTokenExpiresAt = at
	}
}

func (m *mapper) badTime(row *Row, f field) string {
	if textProblem(m.text(f)) != "" {
		return f.String() + " is not text"
	}
	return f.String() + " " + m.quote(row, m.text(f)) + " is neither a time nor a number"
}

// rest sets the optional fields.
func (m *mapper) rest(row *Row) {
	t := &row.Token
	m.checkText(row, fInstallationID, fName, fExternalSubject)
	t.InstallationID = m.text(fInstallationID)
	t.Name = m.text(fName)
	t.ExternalSubject = m.text(fExternalSubject)
	t.Scopes = m.list(row, fScopes)
	t.Audience = m.list(row, fAudience)
	t.Resources = m.list(row, fResources)
	t.AuthorizationDetails = m.details(row)
	t.Data = m.data(row)
	t.Installation = m.party(row, fInstallation)
	t.Tenant = m.party(row, fTenant)
}

// quote makes a value fit for a detail. A wrong query may have put a credential
// into any column, so a value is told only if it is short and made of what names
// and times are made of, and withheld where it shares 8 bytes or more with one
// of the row's credentials; of any other only the length is told.
func (m *mapper) quote(row *Row, text string) string {
	secrets := []string{
		m.text(fAccessToken), m.text(fRefreshToken), m.text(fData), m.text(fAuthorizationDetails),
		row.Token.AccessToken.Reveal(), row.Token.RefreshToken.Reveal(),
	}
	for _, secret := range secrets {
		if shares(text, secret) {
			return "(withheld, it resembles a credential of the row)"
		}
	}
	if len(text) > maxQuoted && !longName(text) || strings.ContainsFunc(text, notPlain) {
		return fmt.Sprintf("(a text of %d characters)", utf8.RuneCountInString(text))
	}
	return strconv.Quote(text)
}

// maxQuoted is the longest value that a detail tells: names and times are
// shorter, nearly all credentials are longer.
const maxQuoted = 24

// longName tells a text that is longer than maxQuoted and still a name, such as
// microsoftOutlookOAuth2Api: credentials have more digits.
func longName(text string) bool {
	digits := 0
	for _, c := range text {
		if unicode.IsDigit(c) {
			digits++
		}
	}
	return len(text) <= 40 && digits <= 2 && !looksSecret(text)
}

func notPlain(c rune) bool {
	return !(c == ' ' || unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("_-.:/+,", c))
}

// shares reports whether a and b have 8 bytes in a row in common, or are equal.
func shares(a, b string) bool {
	const n = 8
	if len(b) == 0 || len(a) < n || len(b) < n {
		return a == b && a != ""
	}
	for i := range len(a) - n + 1 {
		if strings.Contains(b, a[i:i+n]) {
			return true
		}
	}
	return false
}

func wrongJSON(f field, wanted string) string {
	return fmt.Sprintf("%s must be %s", f, wanted)
}
