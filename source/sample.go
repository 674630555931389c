package source

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"tokenmigrate/migrate/connect"
)

// Sample reads the first rows, at most n and at most a page. Errors as of Page.
func (r *Reader) Sample(ctx context.Context, n int) ([]Row, error) {
	page, err := r.page(ctx, "read a sample of the source", Cursor{}, min(n, r.o.PageSize))
	return page.Rows, err
}

// KeyLooks says what a row's key seems to be that should not be stored and
// printed as keys are: "a credential", "an e-mail address", or "".
func (r *Row) KeyLooks() string {
	for _, token := range []string{r.Token.AccessToken.Reveal(), r.Token.RefreshToken.Reveal()} {
		if len(token) >= 8 && strings.Contains(r.Key, token) {
			return looksCredential
		}
	}
	return keyLooks(r.Key)
}

const looksCredential = "a credential"

// keyLooks is KeyLooks by the key alone.
func keyLooks(key string) string {
	if looksSecret(key) {
		return looksCredential
	}
	for part := range strings.SplitSeq(key, "/") {
		if text, ok := decodePart(part); ok {
			part = text
		}
		switch {
		case looksSecret(part):
			return looksCredential
		case looksMail.MatchString(part):
			return "an e-mail address"
		}
	}
	return ""
}

// showKey quotes a key for a message, unless it looks like a credential.
func showKey(key string) string {
	if keyLooks(key) == looksCredential {
		return masked(looksCredential, key)
	}
	return shorten(key)
}

// masked stands for a text: (a credential, 17 characters).
func masked(what, text string) string {
	return fmt.Sprintf("(%s, %d characters)", what, utf8.RuneCountInString(text))
}

var (
	looksMail = regexp.MustCompile(`^[^@\s:]+@[^@\s:]+\.[^@\s:.]+$`)
	// What providers begin their tokens and keys with; a JSON web token.
	looksToken = regexp.MustCompile(`^(xox[a-z]-|xox[a-z]\.|xapp-|gh[oprsu]_|github_pat_|glpat-|ya29\.|1//|[srp]k_(live|test)_|sk-|secret_|ntn_|shp[a-z]{2}_|vc[a-z]_|pat-|lin_|EAA[A-Za-z0-9]{20})` +
		`|^eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.`)
	opaqueText = regexp.MustCompile(`^[A-Za-z0-9_+=-]{40,}$`)
	hexText    = regexp.MustCompile(`^[0-9a-fA-F-]+$`)
)

// looksSecret tells a text that begins as credentials do, or that is long and
// random. Hashes and ids in hexadecimal are not taken for secrets.
func looksSecret(text string) bool {
	if looksToken.MatchString(text) {
		return true
	}
	return opaqueText.MatchString(text) && !hexText.MatchString(text) &&
		strings.ContainsAny(text, "0123456789") && strings.ToLower(text) != text && strings.ToUpper(text) != text
}

// Mask tells in one line what became of the row, or would be sent for it, with
// no part of a credential: of a token only its length, of other fields only that
// they are there.
func (r *Row) Mask() string {
	key := shorten(r.Key)
	if looks := r.KeyLooks(); looks != "" {
		key = masked(looks, r.Key)
	} else if r.Resembles(r.Key) {
		key = fmt.Sprintf("(%d characters)", utf8.RuneCountInString(r.Key))
	}
	if r.Reason != "" {
		return "key " + key + ": " + r.Reason.Outcome() + " " + string(r.Reason) + ": " + r.Detail
	}
	parts := []string{"key " + key}
	for _, named := range [][2]string{{"provider ", r.Provider}, {"to ", r.Connector}} {
		if named[1] != "" && !r.Resembles(named[1]) {
			parts = append(parts, named[0]+shorten(named[1]))
		}
	}
	t := &r.Token
	parts = append(parts, t.Environment, "subject "+t.Subject.Type, "access token of "+lengthOf(t.AccessToken))
	if !t.RefreshToken.Empty() {
		parts = append(parts, "refresh token of "+lengthOf(t.RefreshToken))
	}
	expires := "expires " + time.UnixMilli(t.ExpiresAt).UTC().Format(time.RFC3339)
	if r.MadeUpExpiry {
		expires += " (made up)"
	}
	parts = append(parts, expires)
	for _, list := range []struct {
		name string
		n    int
	}{{"scopes", len(t.Scopes)}, {"audience", len(t.Audience)}, {"resources", len(t.Resources)}} {
		if list.n > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", list.name, list.n))
		}
	}
	if also := r.present(); len(also) > 0 {
		parts = append(parts, "with "+strings.Join(also, " "))
	}
	return strings.Join(parts, ", ")
}

// Resembles reports whether a text has a part of the row's credentials in it: a
// wrong query may put them into any column. An invalid row has none to compare.
func (r *Row) Resembles(text string) bool {
	return shares(text, r.Token.AccessToken.Reveal()) || shares(text, r.Token.RefreshToken.Reveal())
}

func lengthOf(s connect.Secret) string {
	return fmt.Sprintf("%d characters", utf8.RuneCountInString(s.Reveal()))
}

// present lists the columns whose values are in the token, beside those that
// Mask tells more of.
func (r *Row) present() []string {
	t := &r.Token
	var names []string
	for _, c := range []struct {
		field field
		there bool
	}{
		{fSubjectID, t.Subject.ID != ""}, {fSubjectIssuer, t.Subject.Issuer != ""}, {fRefreshTokenExpiresAt, t.RefreshTokenExpiresAt != 0},
		{fAuthorizationDetails, t.AuthorizationDetails != ""}, {fData, !t.Data.Empty()},
		{fInstallationID, t.InstallationID != ""}, {fInstallation, t.Installation != connect.Party{}}, {fTenant, t.Tenant != connect.Party{}},
		{fName, t.Name != ""}, {fExternalSubject, t.ExternalSubject != ""},
	} {
		if c.there {
			names = append(names, c.field.String())
		}
	}
	return names
}
