package cipher

import (
	"strings"
	"testing"

	"tokenmigrate/migrate/connect"
)

type lockboxKeys []struct {
	MasterKey      string `json:"master_key,omitempty"`
	Table          string `json:"table"`
	Attribute      string `json:"attribute"`
	Key            string `json:"key,omitempty"`
	Algorithm      string `json:"algorithm"`
	AssociatedData string `json:"associated_data"`
}

func openLockbox(keys lockboxKeys) (*Lockbox, error) {
	var versions []LockboxVersion
	for _, k := range keys {
		versions = append(versions, LockboxVersion{
			MasterKey: connect.NewSecret(k.MasterKey), Table: k.Table, Attribute: k.Attribute,
			Key: connect.NewSecret(k.Key), Algorithm: k.Algorithm, AssociatedData: k.AssociatedData,
		})
	}
	return NewLockbox(versions...)
}

func init() {
	other := func(keys lockboxKeys) lockboxKeys {
		wrong := make(lockboxKeys, len(keys))
		copy(wrong, keys)
		for i, k := range keys {
			wrong[i].MasterKey = strings.Repeat("5", len(k.MasterKey))
			wrong[i].Key = strings.Repeat("7", len(k.Key))
		}
		return wrong
	}
	formats = append(formats, format{
		name: "lockbox", known: append(answers("lockbox", openLockbox, other), sharedLockbox()),
		plain: []Value{text("c2hvcnQgYmFzZTY0"), text("xoxb-1234567890-abcdefghijklmnop")},
		words: []string{"hybrid", "associated"},
	})
}

// sharedLockbox is an answer made by Lockbox 2.1.0.
func sharedLockbox() known {
	const master = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	open := func(master, table string) func() (Cipher, error) {
		return func() (Cipher, error) {
			return NewLockbox(LockboxVersion{MasterKey: connect.NewSecret(master), Table: table, Attribute: "access_token_ciphertext"})
		}
	}
	return known{
		name: "Lockbox 2", want: "ya29.lockbox-access", authenticated: true, secrets: []string{master},
		value: text("0J50fYooMpZaNg16QKJHH4JjioBJbYYh0FkDoYwVzSQnLFhw9sWelcJPwfMYsHA="),
		right: open(master, "accounts"), wrong: open(master, "users"), none: open("", "accounts"),
	}
}

func FuzzLockbox(f *testing.F) { fuzz(f, "lockbox") }

func TestNewLockbox_TellsKeysThatCannotBeOne(t *testing.T) {
	const short, whole = "0123456789abcdef", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	secret := connect.NewSecret
	for _, c := range []struct {
		name    string
		version LockboxVersion
	}{
		{"master_key", LockboxVersion{MasterKey: secret(short), Table: "t", Attribute: "a"}},
		{"master_key", LockboxVersion{MasterKey: secret(whole), Table: "t"}},
		{"key", LockboxVersion{Key: secret(short)}},
		{"decryption_key", LockboxVersion{Key: secret(whole), Algorithm: "hybrid"}},
		{"decryption_key", LockboxVersion{MasterKey: secret(whole), Table: "t", Attribute: "a", Algorithm: "hybrid"}},
		{"algorithm", LockboxVersion{Key: secret(whole), Algorithm: "rot13"}},
	} {
		_, err := NewLockbox(c.version)
		checkKeyError(t, err, c.name, whole)
	}
}
