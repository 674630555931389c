package stores

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"tokenmigrate/source"
)

// The value decides where a cipher marks its values, unless plain ones are refused;
// what a writer only wrapped opens. What passes and is a ciphertext all the same is
// stopped by package source.
func TestStore_RefusesWhatMayBeCiphertext(t *testing.T) {
	fernetKeys := Keys{"encryption_key": secret("yMnKy8zNzs_Q0dLT1NXW19jZ2tvc3d7f4OHi4-Tl5uc=")}
	sealed := sealedValue("fernet", "direct, unicode")
	for _, c := range []struct {
		store       *Store
		given       Params
		keys        Keys
		value, want string // want: the token, or "" where it is refused
	}{
		{fernet, Params{"plain": "refused"}, fernetKeys, "enc:" + sealed, ""},
		{fernet, nil, nil, "enc:" + sealed, "enc:" + sealed},
		{fernet, nil, fernetKeys, "b'" + sealed + "'", "1//0g-é✓-トークン"},
		{fernet, nil, fernetKeys, `"` + sealed + `"`, "1//0g-é✓-トークン"},
		{fernet, nil, fernetKeys, base64.StdEncoding.EncodeToString([]byte(sealed)), "1//0g-é✓-トークン"},
		{fernet, Params{"plain": "refused"}, fernetKeys, "ya29.plain", ""},
		{fernet, nil, fernetKeys, "ya29.plain", "ya29.plain"},
		{prismaField, Params{"plain": "refused"}, Keys{"encryption_key": secret("k1.aesgcm256.Aw4ZJC86RVBbZnF8h5KdqLO-ydTf6vUACxYhLDdCTVg=")}, "v2.aesgcm256.710bb0e2.x.y", ""},
		{laravel, nil, Keys{"app_key": secret(laravelKey)}, `"` + sealedValue("laravel-10", "aes-256-cbc") + `"`, "ya29.laravel-cbc"},
		{laravel, Params{"plain": "refused"}, Keys{"app_key": secret(laravelKey)}, "ya29.plain", ""},
		{laravel, nil, Keys{"app_key": secret("")}, "ya29.plain", "ya29.plain"},
		{laravel, Params{"plain": "refused"}, nil, "ya29.plain", ""},
		{pgcrypto, Params{"plain": "refused"}, Keys{"encryption_key": secret("pass-Zt41x")}, "ya29.plain", ""},
		{rails, Params{"plain": "refused"}, railsKeys, "eyJfcmFpbHMiOnsibWVzc2FnZSI6IkJBaEoiLCJleHAiOm51bGx9fQ==--8d2a", ""},
		{rails, nil, nil, "gho_plain", "gho_plain"},
	} {
		o, err := c.store.Opener(t.Context(), nil, c.store.Defaults().With(Params{"access_token": "access_token"}).With(c.given), c.keys)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := o.Open(source.Values{"access_token": c.value})
		got := c.value // as it is, where the Opener says nothing of it
		if text, set := opened.Values["access_token"]; set {
			got = text
		}
		if c.want != "" && (err != nil || got != c.want) {
			t.Errorf("%s %v: %.30q became %.30q, %v, want %q", c.store.Name, c.given, c.value, got, err, c.want)
		}
		if c.want == "" && (!errors.Is(err, errLooksPlain) || !strings.Contains(err.Error(), "source.params.plain")) {
			t.Errorf("%s %v: %.30q: got %v, want that it is refused", c.store.Name, c.given, c.value, err)
		}
	}
}
