package cipher

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tokenmigrate/migrate/connect"
)

type betterAuthKeys struct {
	Secret  string `json:"secret"`
	Secrets string `json:"secrets"`
}

func init() {
	open := func(k betterAuthKeys) (*BetterAuth, error) {
		return NewBetterAuth(connect.NewSecret(k.Secret), connect.NewSecret(k.Secrets))
	}
	other := func(betterAuthKeys) betterAuthKeys {
		return betterAuthKeys{"Uo3Nc8Ld5Wq1Zt6Yb9Hs2Vf7Gk4Jx0Ri", "77:Bv6Mz1Ye8Ka3Tp5Ow9Ju2Rl7Dx4Sh0Cg"}
	}
	formats = append(formats, format{
		name:  "better-auth",
		known: slices.Concat(answers("better-auth", open, other), answers("better-auth-elsewhere", open, other)),
		damaged: []Value{
			text("$ba$"), text("$ba$1"), text("$ba$$" + strings.Repeat("ab", 60)), text("$ba$-1$" + strings.Repeat("ab", 60)),
			text("$ba$x$" + strings.Repeat("ab", 60)), text("$ba$1$"), text("$ba$1$abcd"), text("$ba$1$" + strings.Repeat("xy", 60)),
			text("$ba$99999999999999999999999$" + strings.Repeat("ab", 60)),
		},
		words: []string{"secret"},
		plain: []Value{
			text(strings.Repeat("a", 79)), text(strings.Repeat("a", 81)), text("0123456789abcdef0123456789abcdef01234567"),
			text(strings.Repeat("ab", 39)), text(strings.Repeat("xy", 60)), text("$bad$1$ab"),
			text("def50200" + strings.Repeat("ab", 300)), // of league/oauth2-server
		},
	})
}

func FuzzBetterAuth(f *testing.F) { fuzz(f, "better-auth") }

func TestNewBetterAuth_TellsListsItCannotRead(t *testing.T) {
	for _, list := range []string{
		"only-a-secret-without-version", "1:first-secret-012345,second-secret-012345", "x:some-secret-0123456789", "-1:some-secret-0123456789",
		"1:", "1:first-secret-012345,1:second-secret-012345", "1:first-secret-012345,", ":some-secret-0123456789",
	} {
		_, err := NewBetterAuth(connect.Secret{}, connect.NewSecret(list))
		var key *KeyError
		if !errors.As(err, &key) || key.Name != "secrets" {
			t.Errorf("list of %d bytes: got %v, want a KeyError named secrets", len(list), err)
		} else if strings.Contains(err.Error(), "secret-0") {
			t.Errorf("the error %q tells a secret", err)
		}
	}
}

// A refresh token of nothing but hexadecimal is plain where no key is configured and
// the row's access token is plain, and only there.
func TestBetterAuth_TellsPlainHexadecimal(t *testing.T) {
	digits := strings.Repeat("0a", 200)
	for _, c := range []struct {
		secret, access string
		want           bool
	}{
		{"", "ya29.plain", false}, {"", "", true}, {"", digits, true}, {"", "$ba$1$" + digits, true}, {"a-single-secret-0123456789", "ya29.plain", true},
	} {
		cipher, err := NewBetterAuth(connect.NewSecret(c.secret), connect.Secret{})
		if err != nil {
			t.Fatal(err)
		}
		if got := cipher.Sealed(Value{Data: []byte(digits), With: map[string]string{"access_token": c.access}}); got != c.want {
			t.Errorf("secret %q, access token %.12q: got sealed %t, want %t", c.secret, c.access, got, c.want)
		}
	}
}

func TestBetterAuth_AsksForTheVersionThatAValueNames(t *testing.T) {
	for _, known := range registered(t, "better-auth").known {
		if known.namesKey {
			c, err := NewBetterAuth(connect.NewSecret("a-single-secret-0123456789"), connect.Secret{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Open(known.value); !errors.Is(err, ErrNoKey) {
				t.Errorf("%s: got %v, want ErrNoKey", known.name, err)
			}
		}
	}
}
