package cipher

import (
	"slices"
	"testing"

	"tokenmigrate/migrate/connect"
)

func init() {
	open := func(o SQLAlchemyOptions, keys []string) (*SQLAlchemy, error) {
		return NewSQLAlchemy(o, secretList(keys)...)
	}
	other := func([]string) []string { return []string{"none of these secrets"} }
	formats = append(formats, format{
		name:  "sqlalchemy",
		known: slices.Concat(configured("sqlalchemy-0.41", open, other), configured("sqlalchemy-0.38", open, other), sharedSQLAlchemy()),
		plain: []Value{text("c2hvcnQ="), text("ya29.not-sealed")},
		words: []string{"secret"},
	})
}

// sharedSQLAlchemy is an answer that an independent implementation made.
func sharedSQLAlchemy() []known {
	const key = "superset-secret-key-0123456789abcdefghijklmnopq"
	open := func(key string) func() (Cipher, error) {
		return func() (Cipher, error) { return NewSQLAlchemy(SQLAlchemyOptions{}, connect.NewSecret(key)) }
	}
	return []known{{
		name: "another's", want: "ya29.superset", secrets: []string{key}, value: text("vPJZdO9MpVye57QyJ8ENFA=="),
		right: open(key), wrong: open("another secret"), none: open(""),
	}}
}

func FuzzSQLAlchemy(f *testing.F) { fuzz(f, "sqlalchemy") }

func TestNewSQLAlchemy_TellsOptionsItDoesNotKnow(t *testing.T) {
	_, err := NewSQLAlchemy(SQLAlchemyOptions{Engine: "des"}, connect.NewSecret("any secret"))
	checkKeyError(t, err, "engine", "any secret")
	_, err = NewSQLAlchemy(SQLAlchemyOptions{Padding: "spaces"}, connect.NewSecret("any secret"))
	checkKeyError(t, err, "padding", "any secret")
}
