// Package cipher opens what stores encrypt at rest: one file a format, each of
// which says the algorithm, the key's derivation, the layout of the bytes, their
// encoding, and whose code makes such values. It only opens; nothing here
// encrypts.
//
// No error of this package holds a plaintext, a key or a part of a value.
package cipher

import (
	"errors"
	"fmt"
)

// Cipher opens the values of one format. Implementations are immutable to their
// callers, and safe for concurrent use; what costs time to derive from a key is
// kept.
type Cipher interface {
	// Sealed reports whether v looks like a value of this format, without trying a
	// key: stores mix encrypted and plain values, and the value alone decides. A
	// damaged value that is clearly meant to be of the format counts as one.
	Sealed(v Value) bool
	// Open returns v's plaintext. It neither keeps nor changes v.
	//
	// Errors: ErrFormat, ErrKey or ErrNoKey, wrapped in a sentence.
	Open(v Value) ([]byte, error)
}

// Value is one encrypted value as the store keeps it.
type Value struct {
	Data []byte // of text and JSON columns their UTF-8, of bytea columns their bytes
	// With holds what else the format needs of the row, by the names that the
	// format's file gives: an iv or tag column, an id that is authenticated too.
	// Missing entries are empty. Nil where nothing is needed.
	With map[string]string
}

// Why a value does not open.
var (
	// ErrFormat: the value is damaged (cut short, not of its encoding, an unknown
	// version), whatever the keys.
	ErrFormat = errors.New("the value is damaged")
	// ErrKey: the value is whole and none of the keys opens it. The keys are wrong
	// or somebody changed the value; nothing can tell the two apart.
	ErrKey = errors.New("none of the configured keys opens the value")
	// ErrNoKey: the value names a key that is not configured, or no key is.
	ErrNoKey = errors.New("the key is not configured")
)

// damaged returns an ErrFormat that says what is wrong. format must not take
// parts of a value.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// noKey returns an ErrNoKey that says which key is missing.
func noKey(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNoKey, fmt.Sprintf(format, args...))
}

// KeyError says that a configured key cannot be one of its format: it does not
// decode, or has the wrong length. Its text holds no part of the key.
type KeyError struct {
	Name    string // of the key in source.decrypt: "encryption_key"
	Problem string // "must be base64 of 32 bytes, and decodes to 16"
}

func (e *KeyError) Error() string { return e.Name + " " + e.Problem }
