package cipher

import (
	"errors"
	"strings"
	"testing"
)

func openWindmill(salts []string) (*Windmill, error) { return NewWindmill(secretList(salts)...) }

func init() {
	with := map[string]string{"workspace_key": strings.Repeat("k", 64), "is_secret": "true"}
	plain := map[string]string{"workspace_key": strings.Repeat("k", 64), "is_secret": "false"}
	formats = append(formats, format{
		name:  "windmill",
		known: answers("windmill", openWindmill, func([]string) []string { return []string{"Xy7Zw2"} }),
		damaged: []Value{
			{Data: []byte("$ref"), With: with}, {Data: []byte("AAAA"), With: with}, {Data: []byte("AAAAAAAAAAAAAAAAAAAA"), With: with},
		},
		plain: []Value{text("AAAA"), {Data: []byte("DS/2U8royDnJDiNY2ps3f6ZoTbpZo8ZtUGYLGEjwLDQ="), With: plain}, {With: with}, {Data: []byte(" \n"), With: with}},
		// A value without its workspace's key is ErrNoKey; the salt is optional, so
		// that without one a salted value is ErrKey.
		keysOptional: true,
	})
}

func FuzzWindmill(f *testing.F) { fuzz(f, "windmill") }

func TestWindmill_AsksForTheWorkspaceKey(t *testing.T) {
	for _, k := range registered(t, "windmill").known {
		v := clone(k.value)
		delete(v.With, "workspace_key")
		if _, err := must(t, k.right).Open(v); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: got %v, want ErrNoKey", k.name, err)
		}
	}
}
