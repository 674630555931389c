package cipher

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

type grafanaKeys struct {
	SecretKeys []string `json:"secret_keys"`
	DataKeys   []struct {
		ID       string `json:"id"`
		Provider string `json:"provider"`
		Data     string `json:"data"` // hexadecimal
	} `json:"data_keys"`
}

func openGrafana(k grafanaKeys) (*Grafana, error) {
	var rows []GrafanaDataKey
	for _, r := range k.DataKeys {
		data, err := hex.DecodeString(r.Data)
		if err != nil {
			return nil, err
		}
		rows = append(rows, GrafanaDataKey{r.ID, r.Provider, data})
	}
	return NewGrafana(rows, secretList(k.SecretKeys)...)
}

func init() {
	other := func(grafanaKeys) grafanaKeys { return grafanaKeys{SecretKeys: []string{"Kb3Nf8Qx1Wz6"}} }
	value := func(payload string) Value { return text(base64.StdEncoding.EncodeToString([]byte(payload))) }
	formats = append(formats, format{
		name:  "grafana",
		known: slices.Concat(answers("grafana", openGrafana, other), answers("grafana-elsewhere", openGrafana, other)),
		damaged: []Value{
			value("##"), value("#YQ#"), value("#!!#" + strings.Repeat("s", 40)), value("#" + strings.Repeat("s", 40)), value("#YQ#short"),
			value("*Zm9v*" + strings.Repeat("s", 40)), value("*YWVzLWNmYg*" + strings.Repeat("s", 23)), value("*YWVzLWdjbQ*" + strings.Repeat("s", 19)),
		},
		plain: []Value{value("short"), text("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln")},
		words: []string{"secret", "data_keys", "aes-cfb", "aes-gcm"},
	})
}

func FuzzGrafana(f *testing.F) { fuzz(f, "grafana") }

// A data key that secret_key does not unwrap is there, and wrong; one that a key
// management service wraps is out of reach.
func TestGrafana_TellsDataKeysThatDoNotUnwrap(t *testing.T) {
	for _, known := range registered(t, "grafana").known {
		if !known.namesKey || len(known.want) > 1000 {
			continue
		}
		k := known.keys.(grafanaKeys)
		for _, test := range []struct {
			secret, provider string
			want             error
		}{
			{"Kb3Nf8Qx1Wz6", "secretKey.v1", ErrKey}, {"", "secretKey.v1", ErrNoKey}, {k.SecretKeys[0], "awskms.v1", ErrNoKey},
		} {
			k := grafanaKeys{[]string{test.secret}, slices.Clone(k.DataKeys)}
			for i := range k.DataKeys {
				k.DataKeys[i].Provider = test.provider
			}
			c, err := openGrafana(k)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Open(known.value); !errors.Is(err, test.want) {
				t.Errorf("%s, provider %s: got %v, want %v", known.name, test.provider, err, test.want)
			}
		}
	}
}

func TestGrafana_OpensSaltsThatLookLikeNames(t *testing.T) {
	// A payload that begins with a star by chance has no second one, or rubbish
	// before it: it is read as one without a name.
	for _, payload := range []string{"*" + strings.Repeat("s", 40), "*\xff\xfe*" + strings.Repeat("s", 40)} {
		p, err := parseGrafana([]byte(payload))
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		if string(p.algorithm) != "aes-cfb" || string(p.salt) != payload[:8] {
			t.Errorf("got algorithm %s and another salt than the payload begins with", p.algorithm)
		}
	}
}
