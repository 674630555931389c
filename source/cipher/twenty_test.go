package cipher

import (
	"errors"
	"slices"
	"testing"
)

func openTwenty(keys []string) (*Twenty, error) { return NewTwenty(secretList(keys)...) }

func init() {
	other := func([]string) []string { return []string{"Mw5Lv8Kt2Js6Hr9Gq1Fp4Eo7Dn3Cm0Bl"} }
	formats = append(formats, format{
		name:  "twenty",
		known: slices.Concat(answers("twenty", openTwenty, other), answers("twenty-elsewhere", openTwenty, other)),
		damaged: []Value{
			text("enc:"), text("enc:v1:240bfbbd:AAAA"), text("enc:v2:"), text("enc:v2:240bfbbd"), text("enc:v2:240bfbbd:"), text("enc:v2:240bfbbd:AAAA"),
			text("enc:v2:zzzzzzzz:" + otherKey32), text("enc:v2::" + otherKey32), text("enc:v2:240bfbbd:!" + otherKey32),
		},
		plain: []Value{text("ENC:v2:240bfbbd:" + otherKey32), text("encrypted")},
		words: []string{"encryption_key"},
	})
}

func FuzzTwenty(f *testing.F) { fuzz(f, "twenty") }

func TestTwenty_DerivesAKeyForEachWorkspace(t *testing.T) {
	for _, k := range registered(t, "twenty").known {
		v := clone(k.value)
		v.With = map[string]string{"workspace_id": "20202020-1c25-4d02-bf25-6aeccf7ea410"}
		if _, err := must(t, k.right).Open(v); !errors.Is(err, ErrKey) {
			t.Errorf("%s, as of another workspace: got %v, want ErrKey", k.name, err)
		}
	}
}
