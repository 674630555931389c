package sandbox

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Subject says whose token it is, as the request's subject object said it.
type Subject struct {
	Type   string // "user" or "app"
	ID     string // never empty for a user
	Issuer string // empty where none was sent
}

// Token is one element of a request's tokens array, credentials in clear. Text
// is unescaped; optional fields that were not sent are zero.
type Token struct {
	Connector             string // the connector the call named, decoded
	AccessToken           string
	RefreshToken          string
	ExpiresAt             int64 // Unix milliseconds
	RefreshTokenExpiresAt int64 // Unix milliseconds; 0: not sent
	Subject               Subject
	Environment           string
	InstallationID        string // installationId
	Installation          string // installation.id
	Tenant                string // tenant.id
	Name                  string
	ExternalSubject       string

	// What the answer repeats: three fields by themselves, because faults
	// leave them out or change them, and the rest ready to append, each field
	// with its leading comma.
	rawSubject, rawEnvironment, rawExpiresAt string
	restFrom, restTo                         int // in request.echo
}

// request is a decoded body.
type request struct {
	tokens []Token
	echo   []byte
}

// bodyError says what is wrong with a body: where, and which rule it breaks. It
// never holds a value from the body.
type bodyError struct{ path, problem string }

func (e *bodyError) message() string {
	if e.path == "" {
		return "Invalid request: the body " + e.problem + "."
	}
	return "Invalid request: `" + e.path + "` " + e.problem + "."
}

// in moves the error one level down, under the given property or element.
func (e *bodyError) in(parent string) *bodyError {
	switch {
	case e == nil:
		return nil
	case e.path == "":
		e.path = parent
	case e.path[0] == '[':
		e.path = parent + e.path
	default:
		e.path = parent + "." + e.path
	}
	return e
}

// decode reads a request body by the endpoint's reference schema, strictly:
// documented properties only, each once, of the documented type. Two rules are
// its own, because a sender that breaks them has a bug: no credential and no
// user's id may be empty, and the body must be UTF-8.
//
// The strings of the tokens share the memory of body; clone what is kept.
//
// It is written by hand since encoding/json takes keys of any case, lets
// repeated properties pass, and is several times slower on what is also the
// stand-in of the benchmarks.
func decode(body, connector string) (request, *bodyError) {
	var req request
	if strings.TrimLeft(body, " \t\r\n") == "" {
		return req, &bodyError{"", "is missing"}
	}
	if !utf8.ValidString(body) {
		return req, &bodyError{"", "is not valid UTF-8"}
	}
	p := parser{s: body, echo: make([]byte, 0, len(body)/2)}
	seen := false
	err := p.object(func(key string) *bodyError {
		if key != "tokens" {
			return unknownProperty(key)
		}
		if seen {
			return repeatedProperty(key)
		}
		seen = true
		return p.array(func(int) *bodyError {
			req.tokens = append(req.tokens, Token{Connector: connector})
			return p.token(&req.tokens[len(req.tokens)-1])
		}).in(key)
	})
	if err == nil {
		p.space()
		if p.i < len(p.s) {
			err = p.syntax()
		} else if !seen {
			err = missingProperty("tokens")
		}
	}
	req.echo = p.echo
	return req, err
}

// The token's properties, as bits of what was seen.
const (
	sawAccessToken = 1 << iota
	sawExpiresAt
	sawSubject
	sawEnvironment
	sawRefreshToken
	sawRefreshTokenExpiresAt
	sawInstallationID
	sawAudience
	sawScopes
	sawResources
	sawAuthorizationDetails
	sawName
	sawExternalSubject
	sawInstallation
	sawTenant
	sawData
)

func (p *parser) token(t *Token) *bodyError {
	seen := 0
	t.restFrom = len(p.echo)
	err := p.object(func(key string) *bodyError {
		p.space()
		start := p.i
		bit, err := p.tokenProperty(t, key)
		if err != nil {
			return err.in(key)
		}
		if bit == 0 {
			return unknownProperty(key)
		}
		if seen&bit != 0 {
			return repeatedProperty(key)
		}
		seen |= bit
		switch raw := p.s[start:p.i]; bit {
		case sawAccessToken, sawRefreshToken: // never repeated in an answer
		case sawSubject:
			t.rawSubject = raw
		case sawEnvironment:
			t.rawEnvironment = raw
		case sawExpiresAt:
			t.rawExpiresAt = raw
		default:
			p.echo = append(p.echo, ',', '"')
			p.echo = append(p.echo, key...)
			p.echo = append(p.echo, '"', ':')
			p.echo = append(p.echo, raw...)
		}
		return nil
	})
	t.restTo = len(p.echo)
	if err == nil {
		switch {
		case seen&sawAccessToken == 0:
			err = missingProperty("accessToken")
		case seen&sawExpiresAt == 0:
			err = missingProperty("expiresAt")
		case seen&sawSubject == 0:
			err = missingProperty("subject")
		case seen&sawEnvironment == 0:
			err = missingProperty("environment")
		}
	}
	return err
}

// tokenProperty reads the value of one property into t. It returns the
// property's bit, or 0 where the schema has no such property.
func (p *parser) tokenProperty(t *Token, key string) (bit int, err *bodyError) {
	switch key {
	case "accessToken":
		t.AccessToken, err = p.credential()
		return sawAccessToken, err
	case "refreshToken":
		t.RefreshToken, err = p.credential()
		return sawRefreshToken, err
	case "expiresAt":
		t.ExpiresAt, err = p.number()
		return sawExpiresAt, err
	case "refreshTokenExpiresAt":
		t.RefreshTokenExpiresAt, err = p.number()
		return sawRefreshTokenExpiresAt, err
	case "subject":
		return sawSubject, p.subject(&t.Subject)
	case "environment":
		t.Environment, err = p.text()
		if err == nil && !validEnvironment(t.Environment) {
			err = &bodyError{"", "should be one of development, preview, production or an env_ id"}
		}
		return sawEnvironment, err
	case "installationId":
		t.InstallationID, err = p.text()
		return sawInstallationID, err
	case "audience":
		return sawAudience, p.texts()
	case "scopes":
		return sawScopes, p.texts()
	case "resources":
		return sawResources, p.texts()
	case "authorizationDetails":
		return sawAuthorizationDetails, p.array(func(int) *bodyError { _, err := p.named("type"); return err })
	case "name":
		t.Name, err = p.text()
		return sawName, err
	case "externalSubject":
		t.ExternalSubject, err = p.text()
		return sawExternalSubject, err
	case "installation":
		t.Installation, err = p.named("id")
		return sawInstallation, err
	case "tenant":
		t.Tenant, err = p.named("id")
		return sawTenant, err
	case "data":
		return sawData, p.anyObject()
	}
	return 0, nil
}

// subject reads {"type":"app"} or {"type":"user","id":...,"issuer":...}. The
// endpoint tolerates further properties here.
func (p *parser) subject(s *Subject) *bodyError {
	err := p.object(func(key string) (err *bodyError) {
		switch key {
		case "type":
			s.Type, err = p.text()
		case "id":
			s.ID, err = p.text()
		case "issuer":
			s.Issuer, err = p.text()
		default:
			return p.skip(0)
		}
		return err.in(key)
	})
	switch {
	case err != nil:
		return err
	case s.Type == "":
		return missingProperty("type")
	case s.Type != "user" && s.Type != "app":
		return &bodyError{"type", "should be user or app"}
	case s.Type == "user" && s.ID == "":
		return missingProperty("id")
	}
	return nil
}

// named reads an object that needs one text property, which it returns, and
// may have any others. A property "name" must be text too.
func (p *parser) named(need string) (value string, err *bodyError) {
	seen := false
	err = p.object(func(key string) (err *bodyError) {
		switch key {
		case need:
			seen = true
			value, err = p.text()
		case "name":
			_, err = p.text()
		default:
			return p.skip(0)
		}
		return err.in(key)
	})
	if err == nil && !seen {
		err = missingProperty(need)
	}
	return value, err
}

func (p *parser) texts() *bodyError {
	return p.array(func(int) *bodyError { _, err := p.raw('"', "string"); return err })
}

func (p *parser) anyObject() *bodyError {
	_, err := p.raw('{', "object")
	return err
}

func (p *parser) credential() (string, *bodyError) {
	v, err := p.text()
	if err == nil && v == "" {
		err = &bodyError{"", "should not be empty"}
	}
	return v, err
}

func validEnvironment(name string) bool {
	switch name {
	case "development", "preview", "production":
		return true
	}
	id, ok := strings.CutPrefix(name, "env_")
	return ok && id != "" && strings.IndexFunc(id, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-')
	}) < 0
}

func missingProperty(name string) *bodyError {
	return &bodyError{name, "is required"}
}

func repeatedProperty(name string) *bodyError {
	return &bodyError{name, "appears twice"}
}

func unknownProperty(name string) *bodyError {
	const most = 40 // a name is the sender's; only so much of it is repeated
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "..."
	}
	return &bodyError{"", fmt.Sprintf("should not have the property %q", name)}
}
