package source

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source/cipher"
)

// kinds gives each field the kind it has in these tests unless a test says more.
var kinds = [fieldCount]kind{
	fKey: kindText, fKey2: kindText, fProvider: kindText, fConnector: kindText,
	fAccessToken: kindBytes, fRefreshToken: kindBytes, fExpiresAt: kindText, fRefreshTokenExpiresAt: kindText,
	fSubjectType: kindText, fSubjectID: kindText, fSubjectIssuer: kindText, fEnvironment: kindText,
	fScopes: kindText, fAudience: kindList, fResources: kindJSON, fAuthorizationDetails: kindJSON, fData: kindJSON,
	fInstallationID: kindText, fInstallation: kindJSON, fTenant: kindText, fName: kindText, fExternalSubject: kindText, fSkip: kindText,
}

// fields are a row's values by column; others are NULL.
type fields map[field]string

// mapFields maps good fields with changes; a change to null makes it NULL.
func mapFields(o Options, changes fields, null ...field) Row {
	return mapKinds(kinds, o, changes, null...)
}

func mapKinds(kinds [fieldCount]kind, o Options, changes fields, null ...field) Row {
	all := fields{fKey: "1", fAccessToken: "xoxb-access-token", fSubjectID: "U1", fExpiresAt: "1800000000"}
	for f, v := range changes {
		all[f] = v
	}
	for _, f := range null {
		delete(all, f)
	}
	var columns []column
	var raw [][]byte
	for f := range fieldCount {
		columns = append(columns, column{field: f, name: f.String(), kind: kinds[f]})
		if v, ok := all[f]; ok {
			raw = append(raw, append([]byte{}, v...))
		} else {
			raw = append(raw, nil)
		}
	}
	if o.Routes.Connector == "" && o.Routes.ByProvider == nil {
		o.Routes = slack
	}
	var row Row
	text, ends := endToEnd(nil, nil, raw)
	newMapper(columns, o.withDefaults()).row(&row, string(text), ends, testNow)
	return row
}

// binaryList is the array of these elements as the server sends it; "NULL" is
// NULL.
func binaryList(elements ...string) string {
	var b []byte
	add := func(n int) { b = binary.BigEndian.AppendUint32(b, uint32(n)) }
	if len(elements) == 0 {
		for range 3 {
			add(0)
		}
		return string(b)
	}
	for _, n := range []int{1, 0, 25, len(elements), 1} {
		add(n)
	}
	for _, e := range elements {
		if e == "NULL" {
			add(-1)
			continue
		}
		add(len(e))
		b = append(b, e...)
	}
	return string(b)
}

func TestMapper_FillsEveryField(t *testing.T) {
	row := mapFields(Options{}, fields{
		fProvider: "slack", fConnector: "slack/other", fRefreshToken: "xoxr-1", fRefreshTokenExpiresAt: "1900000000",
		fSubjectType: "user", fSubjectIssuer: "https://idp", fEnvironment: "preview",
		fScopes: "a, b", fAudience: binaryList("x"), fResources: `["r"]`,
		fAuthorizationDetails: `[{"type":"t"}]`, fData: `{"a":1}`, fInstallationID: "I1",
		fInstallation: `{"id":"inst","name":"n"}`, fTenant: "T1", fName: "Ada", fExternalSubject: "E1",
	})
	want := Row{
		Provider: "slack", Connector: "slack/other",
		Token: connect.Token{
			ExpiresAt: 1800000000000, RefreshTokenExpiresAt: 1900000000000,
			Subject:     connect.Subject{Type: "user", ID: "U1", Issuer: "https://idp"},
			Environment: "preview", InstallationID: "I1",
			Audience: []string{"x"}, Scopes: []string{"a", "b"}, Resources: []string{"r"},
			AuthorizationDetails: `[{"type":"t"}]`, Name: "Ada", ExternalSubject: "E1",
			Installation: connect.Party{ID: "inst", Object: `{"id":"inst","name":"n"}`},
			Tenant:       connect.Party{ID: "T1"},
		},
	}
	for name, pair := range map[string][2]string{
		"access token":  {row.Token.AccessToken.Reveal(), "xoxb-access-token"},
		"refresh token": {row.Token.RefreshToken.Reveal(), "xoxr-1"},
		"data":          {row.Token.Data.Reveal(), `{"a":1}`},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %q, want %q", name, pair[0], pair[1])
		}
	}
	row.Token.AccessToken, row.Token.RefreshToken, row.Token.Data = connect.Secret{}, connect.Secret{}, connect.Secret{}
	if !reflect.DeepEqual(row, want) {
		t.Errorf("got  %+v\nwant %+v", row, want)
	}
}

func TestMapper_LeavesOutWhatIsNullOrEmpty(t *testing.T) {
	const want = `{"accessToken":"xoxb-access-token","expiresAt":1800000000000,"subject":{"type":"user","id":"U1"},"environment":"production"}`
	empty := fields{
		fProvider: "", fConnector: "", fRefreshToken: "", fRefreshTokenExpiresAt: "", fSubjectType: "", fSubjectIssuer: "",
		fEnvironment: "", fScopes: " , ", fAudience: binaryList("NULL", ""), fResources: `[]`,
		fAuthorizationDetails: " null", fData: "null", fInstallationID: "", fInstallation: "null", fTenant: "", fName: "", fExternalSubject: "",
	}
	for name, row := range map[string]Row{"NULL": mapFields(Options{}, nil), "empty": mapFields(Options{}, empty)} {
		if got := string(row.Token.AppendJSON(nil)); row.Reason != "" || got != want {
			t.Errorf("%s: got %s %s (%s), want %s", name, row.Reason, row.Detail, got, want)
		}
	}
}

// opener reverses both credentials, and refuses those that begin with "bad".
type opener struct{ calls int }

func (o *opener) Inputs() []string { return nil }

func (o *opener) Open(in Values) (Opened, error) {
	o.calls++
	out := Opened{Values: Values{}}
	for _, name := range []string{"access_token", "refresh_token"} {
		value, ok := in[name]
		if !ok {
			continue
		}
		if strings.HasPrefix(value, "bad") {
			return out, fmt.Errorf("%s: %w", name, cipher.ErrKey)
		}
		opened := []byte(value)
		slices.Reverse(opened)
		out.Values[name] = string(opened)
		out.Decrypted++
	}
	return out, nil
}

func TestMapper_Judges(t *testing.T) {
	routes := Routes{ByProvider: map[string]string{"slack": "slack/acme", "google": Skip}}
	byProvider := Options{Routes: routes}
	for _, test := range []struct {
		name    string
		o       Options
		changes fields
		null    []field
		reason  Reason
		detail  string // part of it
	}{
		{"known provider", byProvider, fields{fProvider: "slack"}, nil, "", ""},
		{"row's own connector beats its provider", byProvider, fields{fProvider: "google", fConnector: "c"}, nil, "", ""},
		{"skipped provider", byProvider, fields{fProvider: "google", fAccessToken: ""}, nil, ReasonExcluded, `"google"`},
		{"unknown provider", byProvider, fields{fProvider: "gitlab"}, nil, ReasonUnknownProvider, `"gitlab"`},
		{"the access token as connector", Options{}, fields{fConnector: "xoxb-access-token"}, nil, ReasonInvalidField, "connector looks like a credential"},
		{"a part of the refresh token as connector", Options{}, fields{fRefreshToken: "q1w2e3r4t5y6", fConnector: "e3r4t5y6"}, nil, ReasonInvalidField, "connector looks like a credential"},
		{"another credential as connector", Options{}, fields{fConnector: "ghp_16C7e42F292c6912E7710c838347Ae178B4a"}, nil, ReasonInvalidField, "connector looks like a credential"},
		{"no provider", byProvider, nil, nil, ReasonUnknownProvider, "neither a connector nor a provider"},
		{"provider not text", byProvider, fields{fProvider: "\xff"}, nil, ReasonInvalidField, "provider is not valid UTF-8"},
		{"one connector for all", Options{}, fields{fProvider: "gitlab"}, nil, "", ""},

		{"access token NULL", Options{}, nil, []field{fAccessToken}, ReasonMissingAccessToken, "access_token"},
		{"access token empty", Options{}, fields{fAccessToken: ""}, nil, ReasonMissingAccessToken, "access_token"},
		{"access token not UTF-8", Options{}, fields{fAccessToken: "a\xffb"}, nil, ReasonInvalidField, "access_token is not valid UTF-8"},
		{"access token with NUL", Options{}, fields{fAccessToken: "a\x00b"}, nil, ReasonInvalidField, "access_token contains a NUL byte"},
		{"refresh token not UTF-8", Options{}, fields{fRefreshToken: "\xc3"}, nil, ReasonInvalidField, "refresh_token is not valid UTF-8"},
		{"access token not opened", Options{Open: &opener{}}, fields{fAccessToken: "bad-0123456789"}, nil, ReasonDecryptFailed, "access_token"},
		{"refresh token not opened", Options{Open: &opener{}}, fields{fRefreshToken: "bad-0123456789"}, nil, ReasonDecryptFailed, "refresh_token"},
		{"opened", Options{Open: &opener{}}, fields{fRefreshToken: "xyz"}, nil, "", ""},

		{"subject NULL", Options{}, nil, []field{fSubjectID}, ReasonMissingSubject, "subject_id"},
		{"subject empty", Options{}, fields{fSubjectID: "", fSubjectType: "user"}, nil, ReasonMissingSubject, "subject_id"},
		{"app needs no id", Options{}, fields{fSubjectType: "app"}, []field{fSubjectID}, "", ""},
		{"other subject type", Options{}, fields{fSubjectType: "bot"}, nil, ReasonInvalidField, `subject_type "bot"`},
		{"subject type's case", Options{}, fields{fSubjectType: "User"}, nil, ReasonInvalidField, `"User"`},
		{"issuer not UTF-8", Options{}, fields{fSubjectIssuer: "\xff"}, nil, ReasonInvalidField, "subject_issuer"},

		{"custom environment", Options{}, fields{fEnvironment: "env_1aB"}, nil, "", ""},
		{"other environment", Options{}, fields{fEnvironment: "staging"}, nil, ReasonInvalidEnvironment, `"staging"`},

		{"expiry missing", Options{}, nil, []field{fExpiresAt}, ReasonMissingExpiry, "expires_at"},
		{"expiry zero", Options{}, fields{fExpiresAt: "0"}, nil, ReasonMissingExpiry, "expires_at"},
		{"expiry no time", Options{}, fields{fExpiresAt: "next week"}, nil, ReasonInvalidExpiry, `expires_at "next week"`},
		{"expiry no text", Options{}, fields{fExpiresAt: "\xff"}, nil, ReasonInvalidExpiry, "expires_at"},
		{"expiry looks like the token", Options{}, fields{fExpiresAt: "xoxb-access"}, nil, ReasonInvalidExpiry, "withheld"},
		{"refresh expiry no time", Options{}, fields{fRefreshToken: "r", fRefreshTokenExpiresAt: "soon"}, nil, ReasonInvalidExpiry, `refresh_token_expires_at "soon"`},
		{"refresh expiry unknown", Options{}, fields{fRefreshToken: "r", fRefreshTokenExpiresAt: "infinity"}, nil, "", ""},

		{"list element not UTF-8", Options{}, fields{fAudience: binaryList("ok", "\xff")}, nil, ReasonInvalidField, "audience"},
		{"broken array", Options{}, fields{fAudience: "\x00\x00"}, nil, ReasonInvalidField, "audience"},
		{"JSON list of numbers", Options{}, fields{fResources: "[1]"}, nil, ReasonInvalidField, "resources must be a JSON array of strings"},
		{"JSON list with null", Options{}, fields{fResources: `["a",null]`}, nil, ReasonInvalidField, "resources"},
		{"JSON object as list", Options{}, fields{fResources: `{"a":"b"}`}, nil, ReasonInvalidField, "resources"},
		{"details no array", Options{}, fields{fAuthorizationDetails: `{"type":"a"}`}, nil, ReasonInvalidField, "authorization_details"},
		{"details without type", Options{}, fields{fAuthorizationDetails: `[{"type":"a"},{"Type":"b"}]`}, nil, ReasonInvalidField, "authorization_details"},
		{"details of numbers", Options{}, fields{fAuthorizationDetails: `[1]`}, nil, ReasonInvalidField, "authorization_details"},
		{"details with null", Options{}, fields{fAuthorizationDetails: `[null]`}, nil, ReasonInvalidField, "authorization_details"},
		{"details with type number", Options{}, fields{fAuthorizationDetails: `[{"type":1}]`}, nil, ReasonInvalidField, "authorization_details"},
		{"data array", Options{}, fields{fData: `["s3cr3t-in-data"]`}, nil, ReasonInvalidField, "data must be a JSON object"},
		{"data not UTF-8", Options{}, fields{fData: "{\"a\":\"\xff\"}"}, nil, ReasonInvalidField, "data"},
		{"installation without id", Options{}, fields{fInstallation: `{"name":"n"}`}, nil, ReasonInvalidField, "installation"},
		{"installation with ID", Options{}, fields{fInstallation: `{"ID":"n"}`}, nil, ReasonInvalidField, "installation"},
		{"installation with empty id", Options{}, fields{fInstallation: `{"id":""}`}, nil, ReasonInvalidField, "installation"},
		{"installation with number id", Options{}, fields{fInstallation: `{"id":1}`}, nil, ReasonInvalidField, "installation"},
		{"installation true", Options{}, fields{fInstallation: `true`}, nil, ReasonInvalidField, "installation"},
		{"tenant not UTF-8", Options{}, fields{fTenant: "\xff"}, nil, ReasonInvalidField, "tenant is not valid UTF-8"},
		{"name not UTF-8", Options{}, fields{fName: "\xff"}, nil, ReasonInvalidField, "name is not valid UTF-8"},

		{"route is judged before the token", byProvider, fields{fProvider: "x", fSubjectID: ""}, []field{fAccessToken}, ReasonUnknownProvider, ""},
		{"token before subject", Options{}, fields{fSubjectID: ""}, []field{fAccessToken}, ReasonMissingAccessToken, ""},
		{"subject before environment", Options{}, fields{fSubjectID: "", fEnvironment: "x"}, nil, ReasonMissingSubject, ""},
		{"environment before expiry", Options{}, fields{fExpiresAt: "x", fEnvironment: "x"}, nil, ReasonInvalidEnvironment, ""},
		{"expiry before the rest", Options{}, fields{fExpiresAt: "x", fName: "\xff"}, nil, ReasonInvalidExpiry, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			row := mapFields(test.o, test.changes, test.null...)
			if row.Reason != test.reason || !strings.Contains(row.Detail, test.detail) || (row.Detail == "") != (test.reason == "") {
				t.Errorf("got %q, %q, want %q, ...%q...", row.Reason, row.Detail, test.reason, test.detail)
			}
			if !utf8.ValidString(row.Detail) {
				t.Errorf("the detail %q is not valid UTF-8", row.Detail)
			}
			for _, secret := range []string{"xoxb-acc", "0123456789", "s3cr3t"} {
				if strings.Contains(row.Detail, secret) {
					t.Errorf("the detail %q holds a credential", row.Detail)
				}
			}
			if row.Reason != "" && !(row.Token.AccessToken.Empty() && row.Token.RefreshToken.Empty() && row.Token.Data.Empty()) {
				t.Error("a row that is not sent still holds credentials")
			}
		})
	}
}

func TestMapper_TellsConnectorEnvironmentAndSubjectOfInvalidRows(t *testing.T) {
	row := mapFields(Options{Environment: "preview"}, fields{fSubjectID: "U9", fProvider: "p"}, fAccessToken)
	if row.Connector != "slack/acme" || row.Provider != "p" || row.Token.Environment != "preview" || row.Token.Subject.ID != "U9" {
		t.Errorf("got %+v, want connector slack/acme, provider p, environment preview, subject U9", row)
	}
}

func TestMapper_AppHasNoIdAndNoIssuer(t *testing.T) {
	row := mapFields(Options{}, fields{fSubjectType: "app", fSubjectIssuer: "i"})
	if want := (connect.Subject{Type: "app"}); row.Token.Subject != want || row.Reason != "" {
		t.Errorf("got %+v, %s, want %+v", row.Token.Subject, row.Reason, want)
	}
}

func TestMapper_OpensWhatIsNotLeftOut(t *testing.T) {
	o := &opener{}
	row := mapFields(Options{Open: o}, fields{fAccessToken: "abc", fName: "x"})
	if got := row.Token.AccessToken.Reveal(); got != "cba" || row.Decrypted != 1 {
		t.Errorf("got %q and %d values opened, want cba and one", got, row.Decrypted)
	}
	o.calls = 0
	mapFields(Options{Open: o, Routes: Routes{ByProvider: map[string]string{"p": Skip}}}, fields{fProvider: "p"})
	mapFields(Options{Open: o, Skips: map[Reason]string{"deleted": "it was deleted"}}, fields{fSkip: "deleted"})
	if o.calls > 0 {
		t.Errorf("got %d rows opened that are left out, want none", o.calls)
	}
}

func TestMapper_MakesUpMissingExpiry(t *testing.T) {
	missing := MissingExpiry{Default: time.Hour, ByProvider: map[string]time.Duration{"github": 48 * time.Hour, "slack": 0}}
	for _, test := range []struct {
		provider, expiresAt string
		want                int64
		madeUp              bool
		reason              Reason
	}{
		{"", "", testNow.Add(time.Hour).UnixMilli(), true, ""},
		{"other", "infinity", testNow.Add(time.Hour).UnixMilli(), true, ""},
		{"github", "0", testNow.Add(48 * time.Hour).UnixMilli(), true, ""},
		{"slack", "", 0, false, ReasonMissingExpiry},
		{"github", "1800000000", 1800000000000, false, ""},
	} {
		row := mapFields(Options{MissingExpiry: missing}, fields{fProvider: test.provider, fExpiresAt: test.expiresAt})
		if row.Token.ExpiresAt != test.want || row.MadeUpExpiry != test.madeUp || row.Reason != test.reason {
			t.Errorf("%q, %q: got %d, %t, %q, want %d, %t, %q", test.provider, test.expiresAt,
				row.Token.ExpiresAt, row.MadeUpExpiry, row.Reason, test.want, test.madeUp, test.reason)
		}
	}
}

func TestMapper_LeavesTheExpiryOfNoRefreshTokenOut(t *testing.T) {
	row := mapFields(Options{}, fields{fRefreshTokenExpiresAt: "1900000000"})
	if row.Token.RefreshTokenExpiresAt != 0 || row.Reason != "" {
		t.Errorf("got %d, %q, want 0", row.Token.RefreshTokenExpiresAt, row.Reason)
	}
}

func TestMapper_Lists(t *testing.T) {
	for _, test := range []struct {
		kind kind
		text string
		want []string
	}{
		{kindText, "a b,c\td\ne\r\nf", []string{"a", "b", "c", "d", "e", "f"}},
		{kindText, ",, a , ", []string{"a"}},
		{kindText, `["a","b c",""]`, []string{"a", "b c"}},
		{kindText, `["a",1]`, []string{`["a"`, "1]"}}, // not a JSON array of strings: text
		{kindText, `[x`, []string{"[x"}},
		{kindPadded, "a b   ", []string{"a", "b"}},
		{kindJSON, ` [ "a", "\u00e4" ] `, []string{"a", "ä"}},
		{kindJSON, `"a b"`, []string{"a", "b"}},
		{kindJSON, `null`, nil},
		{kindList, binaryList("a b", "NULL", "", "c"), []string{"a b", "c"}},
		{kindList, binaryList(), nil},
	} {
		k := kinds
		k[fScopes] = test.kind
		row := mapKinds(k, Options{}, fields{fScopes: test.text})
		if !reflect.DeepEqual(row.Token.Scopes, test.want) || row.Reason != "" {
			t.Errorf("kind %d, %q: got %q (%s), want %q", test.kind, test.text, row.Token.Scopes, row.Detail, test.want)
		}
	}
}

func TestMapper_Parties(t *testing.T) {
	for _, test := range []struct {
		kind kind
		text string
		want connect.Party
	}{
		{kindText, "T1", connect.Party{ID: "T1"}},
		{kindInteger, "42", connect.Party{ID: "42"}},
		{kindJSON, `"T\u0031"`, connect.Party{ID: "T1"}},
		{kindJSON, ` 42`, connect.Party{ID: "42"}},
		{kindJSON, `""`, connect.Party{}},
		{kindJSON, `{"id":"\u0054","x":[1]}`, connect.Party{ID: "T", Object: `{"id":"\u0054","x":[1]}`}},
	} {
		k := kinds
		k[fTenant] = test.kind
		row := mapKinds(k, Options{}, fields{fTenant: test.text})
		if row.Token.Tenant != test.want || row.Reason != "" {
			t.Errorf("kind %d, %q: got %+v (%s), want %+v", test.kind, test.text, row.Token.Tenant, row.Detail, test.want)
		}
	}
}

func TestSink_RowsDoNotShareMemory(t *testing.T) {
	r := &Reader{o: Options{Routes: slack}.withDefaults(), columns: []column{{field: fAccessToken, kind: kindText}, {field: fSubjectID, kind: kindText}}}
	s := r.newSink(testNow, batchPlain)
	raw := [][]byte{[]byte("first"), []byte("one")}
	for i := range batchPlain + 1 {
		s.add(strconv.Itoa(i), raw)
		raw[0], raw[1] = append(raw[0][:0], "other"...), append(raw[1][:0], "two"...)
	}
	rows := s.finish()
	if len(rows) != batchPlain+1 || s.len() != len(rows) {
		t.Fatalf("got %d rows, want %d", len(rows), batchPlain+1)
	}
	for i, row := range rows {
		want := "two"
		if i == 0 {
			want = "one"
		}
		if row.Key != strconv.Itoa(i) || row.Token.Subject.ID != want {
			t.Errorf("got row %s of %q after others were read, want row %d of %q", row.Key, row.Token.Subject.ID, i, want)
		}
	}
}

func TestReason_TellsItsOutcome(t *testing.T) {
	for reason, want := range map[Reason]string{"": "", ReasonExcluded: "skipped", ReasonMissingSubject: "invalid"} {
		if got := reason.Outcome(); got != want {
			t.Errorf("%q: got %q, want %q", reason, got, want)
		}
	}
}

// FuzzMapRow maps arbitrary bytes in every column, as every kind: it must not
// panic, must not tell a credential, and must make only bodies that are JSON.
func FuzzMapRow(f *testing.F) {
	f.Add("slack", "xoxb-1234567890", "xoxr-1234567890", "1800000000", "U1", "production", "a b", `[{"type":"x"}]`, `{"a":1}`, `{"id":"i"}`, uint8(0))
	f.Add("", "\xff", "", "infinity", "", "", binaryList("a", "NULL"), "null", "[]", "1", uint8(7))
	f.Fuzz(func(t *testing.T, provider, access, refresh, expires, subject, environment, list, details, data, party string, shift uint8) {
		all := fields{
			fProvider: provider, fAccessToken: access, fRefreshToken: refresh, fExpiresAt: expires, fRefreshTokenExpiresAt: expires,
			fSubjectID: subject, fSubjectType: "", fEnvironment: environment, fScopes: list, fAudience: list, fResources: list,
			fAuthorizationDetails: details, fData: data, fInstallation: party, fTenant: party, fName: subject,
		}
		k := kinds
		k[fExpiresAt] = kind(shift % uint8(kindList))
		k[fTenant] = []kind{kindText, kindJSON, kindInteger}[shift%3]
		row := mapKinds(k, Options{MissingExpiry: MissingExpiry{Default: time.Hour}}, all)
		for _, secret := range []string{access, refresh, data} {
			if len(secret) >= 8 && strings.Contains(row.Detail, secret) && !strings.Contains("access_token refresh_token authorization_details", secret) {
				t.Errorf("the detail %q holds the credential %q", row.Detail, secret)
			}
		}
		if row.Reason != "" {
			return
		}
		body := row.Token.AppendJSON(nil)
		if !json.Valid(body) || !utf8.Valid(body) {
			t.Errorf("got the body %q, which is not JSON", body)
		}
	})
}
