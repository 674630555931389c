package cipher

import (
	"strings"
	"testing"

	"tokenmigrate/migrate/connect"
)

func init() {
	open := func(keys []string) (*PrismaField, error) { return NewPrismaField(secretList(keys)...) }
	other := func([]string) []string { return []string{"k1.aesgcm256.bm90LXRoZS1rZXktbm90LXRoZS1rZXktbm90LXRoZS0="} }
	formats = append(formats, format{
		name: "prisma-field", known: answers("prisma-field", open, other),
		damaged: []Value{
			text("v1.aesgcm256."), text("v1.aesgcm256.01234567"), text("v1.aesgcm256.0123456.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA"),
			text("v1.aesgcm256.01234567.AAAAAAAAAAAAAAAA.AAAA"), text("v1.aesgcm256.01234567.AAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA"),
			text("v1.aesgcm256.01234567.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA.A"), text("v1.aesgcm256.xxxxxxxx.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA"),
		},
		plain: []Value{text("v1.aesgcm"), text("v2.aesgcm256.01234567.a.b")},
	})
}

func FuzzPrismaField(f *testing.F) { fuzz(f, "prisma-field") }

func TestNewPrismaField_TellsKeysThatCannotBeOne(t *testing.T) {
	for _, key := range []string{"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "k1.aesgcm256.AAECAwQF", "k1.aesgcm256.!"} {
		_, err := NewPrismaField(connect.NewSecret(key))
		checkKeyError(t, err, "encryption_key", strings.TrimPrefix(key, "k1.aesgcm256."))
	}
}
