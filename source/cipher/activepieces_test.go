package cipher

import (
	"slices"
	"strings"
	"testing"
)

func openActivepieces(keys []string) (*Activepieces, error) {
	return NewActivepieces(secretList(keys)...)
}

func init() {
	other := func([]string) []string {
		return []string{"ffeeddccbbaa99887766554433221100", "Zo6Ym2Xk9Wj4Vh7Ug1Tf5Se8Rd3Qc0Pb"}
	}
	formats = append(formats, format{
		name:  "activepieces",
		known: slices.Concat(answers("activepieces", openActivepieces, other), answers("activepieces-elsewhere", openActivepieces, other)),
		damaged: []Value{
			text(`{"iv":"","data":""}`), text(`{"iv":"xx","data":"00"}`), text(`{"iv":"00","data":"0"}`),
			text(`{"iv":"` + strings.Repeat("0", 32) + `","data":"00"}`), text(`{"iv":"` + strings.Repeat("0", 32) + `","data":""}`),
			text(`{"iv":"` + strings.Repeat("0", 24) + `","data":"00","authTag":"00"}`), text(`{"iv":"` + strings.Repeat("0", 24) + `","data":"00","authTag":""}`),
			text(`{"iv":"` + strings.Repeat("0", 32) + `","data":"00","authTag":"` + strings.Repeat("0", 32) + `"}`),
		},
		plain: []Value{
			text(`{"type":"OAUTH2","access_token":"ya29.x","data":{}}`), text(`{"iv":"00"}`), text(`{"data":"00"}`), text(`{"iv":1,"data":2}`), text(`[]`), text(`null`),
		},
		words: []string{"authTag", "encryption_key"},
	})
}

func FuzzActivepieces(f *testing.F) { fuzz(f, "activepieces") }

func TestNewActivepieces_TellsKeysThatCannotBe(t *testing.T) {
	checkKeyErrors(t, "encryption_key", openActivepieces, "0123456789abcdef", strings.Repeat("é", 16), strings.Repeat("k", 33))
}
