package cipher

import (
	"slices"
	"strings"
	"testing"
)

func openLogto(keys []string) (*Logto, error) { return NewLogto(secretList(keys)...) }

func init() {
	other := func([]string) []string { return []string{otherKey32} }
	formats = append(formats, format{
		name:  "logto",
		known: slices.Concat(answers("logto", openLogto, other), answers("logto-elsewhere", openLogto, other)),
		damaged: []Value{
			{Data: []byte("x"), With: map[string]string{"encrypted_dek": `\x00`, "iv": "", "auth_tag": ""}},
			{Data: []byte("x"), With: map[string]string{"encrypted_dek": strings.Repeat("d", 60), "iv": strings.Repeat("i", 12)}},
			{Data: []byte("x"), With: map[string]string{"encrypted_dek": strings.Repeat("d", 60), "iv": `\xzz`, "auth_tag": strings.Repeat("t", 16)}},
		},
		plain: []Value{{Data: []byte{1, 2, 3}}, {With: map[string]string{"encrypted_dek": strings.Repeat("d", 60)}}},
		words: []string{"secret_vault_kek"},
	})
}

func FuzzLogto(f *testing.F) { fuzz(f, "logto") }

func TestNewLogto_TellsKeysThatCannotBe(t *testing.T) {
	checkKeyErrors(t, "secret_vault_kek", openLogto, otherKey32[:24], "Qx!Wz?Kb:Nf.", strings.Repeat("0", 64))
}

// Readers may hand on bytea columns as bytes, or as Postgres writes them.
func TestLogto_TakesByteaInBothForms(t *testing.T) {
	for _, k := range registered(t, "logto").known {
		v := clone(k.value)
		for name, with := range v.With {
			v.With[name] = string(bytea(with))
		}
		checkOpens(t, must(t, k.right), v, k.want)
	}
}
