package cipher

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

func openKratos(keys []string) (*Kratos, error) { return NewKratos(secretList(keys)...) }

func init() {
	other := func([]string) []string { return []string{"Zo6Ym2Xk9Wj4Vh7Ug1Tf5Se8Rd3Qc0Pb"} }
	formats = append(formats, format{
		name:    "kratos",
		known:   slices.Concat(answers("kratos", openKratos, other), answers("kratos-elsewhere", openKratos, other)),
		damaged: []Value{text("7"), text("796"), text("00"), text("ffff"), text(strings.Repeat("0", 54))},
		words:   []string{"secret"},
		plain:   []Value{text("7961x"), text("ya"), text("0x7961")},
	})
}

func FuzzKratos(f *testing.F) { fuzz(f, "kratos") }

func TestNewKratos_TellsKeysThatCannotBe(t *testing.T) {
	checkKeyErrors(t, "secrets", openKratos, strings.Repeat("k", 31), strings.Repeat("é", 32), hex.EncodeToString([]byte(strings.Repeat("k", 32))))
}

// Of what is cut from an encrypted value, a few bytes may be readable.
func TestKratos_TakesShortTextsOnlyWithoutKeys(t *testing.T) {
	short := text(hex.EncodeToString([]byte("1//0g")))
	c, err := openKratos(nil)
	if err != nil {
		t.Fatal(err)
	}
	checkOpens(t, c, short, "1//0g")
	if c, err = openKratos([]string{strings.Repeat("k", 32)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(short); !errors.Is(err, ErrFormat) {
		t.Errorf("with a key: got %v, want ErrFormat", err)
	}
}
