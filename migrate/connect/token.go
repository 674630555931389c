package connect

import (
	"strconv"
	"unicode/utf8"
)

// Subject says whose token it is.
type Subject struct {
	Type   string // SubjectUser or SubjectApp
	ID     string // required for a user, absent for an app
	Issuer string // optional
}

// The subject types that the endpoint knows.
const (
	SubjectUser = "user"
	SubjectApp  = "app"
)

// Token is one element of the request's tokens array: the import schema of
// POST /v1/connect/token/{connector}/import. Zero values of optional fields are
// left out of the body. All text must be valid UTF-8.
type Token struct {
	AccessToken           Secret // required
	ExpiresAt             int64  // required; Unix milliseconds
	RefreshToken          Secret
	RefreshTokenExpiresAt int64 // Unix milliseconds; 0: not known
	Subject               Subject
	Environment           string // development, preview, production or env_...
	InstallationID        string
	Audience              []string
	Scopes                []string
	Resources             []string
	AuthorizationDetails  string // JSON array, sent as it is
	Name                  string
	ExternalSubject       string
	Installation          Party
	Tenant                Party
	Data                  Secret // JSON object, sent as it is; what a store keeps there may be a credential
}

// Party is an installation or a tenant: either its id, or the JSON object that
// holds the id. With both, Object is sent and ID only identifies.
type Party struct {
	ID     string
	Object string // JSON object with a string "id"
}

// AppendJSON appends the token as the import call sends it, credentials
// revealed, and returns the extended buffer. Fields stand in a fixed order: the
// fingerprints of a migration are taken over these bytes, so a change of order
// or spelling makes every token of every running migration look changed.
func (t *Token) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"accessToken":`...)
	dst = appendString(dst, t.AccessToken.Reveal())
	dst = append(dst, `,"expiresAt":`...)
	dst = strconv.AppendInt(dst, t.ExpiresAt, 10)
	if !t.RefreshToken.Empty() {
		dst = append(dst, `,"refreshToken":`...)
		dst = appendString(dst, t.RefreshToken.Reveal())
	}
	if t.RefreshTokenExpiresAt != 0 {
		dst = append(dst, `,"refreshTokenExpiresAt":`...)
		dst = strconv.AppendInt(dst, t.RefreshTokenExpiresAt, 10)
	}
	dst = append(dst, `,"subject":{"type":`...)
	dst = appendString(dst, t.Subject.Type)
	dst = appendField(dst, `,"id":`, t.Subject.ID)
	dst = appendField(dst, `,"issuer":`, t.Subject.Issuer)
	dst = append(dst, `},"environment":`...)
	dst = appendString(dst, t.Environment)
	dst = appendField(dst, `,"installationId":`, t.InstallationID)
	dst = appendList(dst, `,"audience":[`, t.Audience)
	dst = appendList(dst, `,"scopes":[`, t.Scopes)
	dst = appendList(dst, `,"resources":[`, t.Resources)
	if t.AuthorizationDetails != "" {
		dst = append(dst, `,"authorizationDetails":`...)
		dst = append(dst, t.AuthorizationDetails...)
	}
	dst = appendField(dst, `,"name":`, t.Name)
	dst = appendField(dst, `,"externalSubject":`, t.ExternalSubject)
	dst = appendParty(dst, `,"installation":`, t.Installation)
	dst = appendParty(dst, `,"tenant":`, t.Tenant)
	if !t.Data.Empty() {
		dst = append(dst, `,"data":`...)
		dst = append(dst, t.Data.Reveal()...)
	}
	return append(dst, '}')
}

// about returns about how long the token's JSON is: seldom less, since hardly anything
// in it has to be escaped.
func (t *Token) about() int {
	const names = 192 // of the usual fields, with numbers and punctuation
	n := names + len(t.AccessToken.Reveal()) + len(t.RefreshToken.Reveal()) + len(t.Data.Reveal()) +
		len(t.Subject.Type) + len(t.Subject.ID) + len(t.Subject.Issuer) + len(t.Environment) + len(t.InstallationID) +
		len(t.AuthorizationDetails) + len(t.Name) + len(t.ExternalSubject) +
		len(t.Installation.ID) + len(t.Installation.Object) + len(t.Tenant.ID) + len(t.Tenant.Object)
	for _, list := range [][]string{t.Audience, t.Scopes, t.Resources} {
		for _, s := range list {
			n += len(`"",`) + len(s)
		}
	}
	return n
}

// BodyOverhead and TokenOverhead are the bytes that the request body adds
// around all tokens and between two of them: a chunk of n tokens whose
// AppendJSON lengths sum to s is BodyOverhead + s + (n-1)*TokenOverhead long.
const (
	BodyOverhead  = len(bodyOpen) + len(bodyClose)
	TokenOverhead = len(",")

	bodyOpen  = `{"tokens":[`
	bodyClose = `]}`
)

// AppendBody appends the request body of one import call and returns the
// extended buffer.
func AppendBody(dst []byte, tokens []Token) []byte {
	dst = append(dst, bodyOpen...)
	for i := range tokens {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = tokens[i].AppendJSON(dst)
	}
	return append(dst, bodyClose...)
}

// ValidEnvironment reports whether the endpoint's schema knows name: one of
// the three fixed environments, or the env_... id of a custom one.
func ValidEnvironment(name string) bool {
	switch name {
	case "development", "preview", "production":
		return true
	}
	const prefix = "env_"
	if len(name) <= len(prefix) || name[:len(prefix)] != prefix {
		return false
	}
	for _, c := range []byte(name[len(prefix):]) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, name...), value)
}

func appendList(dst []byte, open string, values []string) []byte {
	if len(values) == 0 {
		return dst
	}
	dst = append(dst, open...)
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, v)
	}
	return append(dst, ']')
}

func appendParty(dst []byte, name string, p Party) []byte {
	switch {
	case p.Object != "":
		return append(append(dst, name...), p.Object...)
	case p.ID != "":
		dst = append(append(dst, name...), `{"id":`...)
		return append(appendString(dst, p.ID), '}')
	}
	return dst
}

// appendString appends s as a JSON string, escaping only what JSON demands.
// encoding/json would also escape <, > and &, and costs an allocation.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf || c >= utf8.RuneSelf {
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hex[c>>4], hex[c&15])
		}
		start = i + 1
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
