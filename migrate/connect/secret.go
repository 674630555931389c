package connect

import (
	"errors"
	"fmt"
	"io"
)

// redacted is what every Secret prints.
const redacted = "[redacted]"

// Secret is a credential: a token being migrated, the API credential, a
// password or a cipher key. It prints as "[redacted]" with every fmt verb, in
// JSON, YAML and slog, and also when it sits in an unexported field, where fmt
// cannot call methods (the value hides behind a pointer, of which fmt shows the
// address). The zero Secret is empty.
//
// Two Secrets of the same text are not ==; compare what Reveal returns.
type Secret struct{ text *string }

// NewSecret wraps text. An empty text gives the zero Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns the credential itself. Every use of one is a call of Reveal,
// so that searching for the word finds them all.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Empty reports whether there is no credential.
func (s Secret) Empty() bool { return s.text == nil }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// GoString returns "[redacted]"; it serves %#v.
func (s Secret) GoString() string { return redacted }

// Format writes "[redacted]", whatever the verb and flags.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns "[redacted]"; it serves JSON (also as a map key), YAML,
// XML and slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText refuses: a Secret is made with NewSecret, where it can be seen.
func (s *Secret) UnmarshalText([]byte) error {
	return errors.New("a secret cannot be unmarshalled")
}
