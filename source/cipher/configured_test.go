package cipher

import "tokenmigrate/migrate/connect"

// setup is the K of a format whose cipher needs to be told more than keys.
type setup[O, K any] struct {
	Options O `json:"options"`
	Keys    K `json:"keys"`
}

// configured is answers for such a format: what is not secret stays the same in
// the ciphers with other keys and with none, and errors may tell it.
func configured[O, K any, C Cipher](file string, open func(O, K) (C, error), other func(K) K) []known {
	var setups []setup[O, K] // in the order of the answers
	all := answers(file,
		func(s setup[O, K]) (C, error) { return open(s.Options, s.Keys) },
		func(s setup[O, K]) setup[O, K] {
			setups = append(setups, s)
			return setup[O, K]{s.Options, other(s.Keys)}
		})
	for i, s := range setups {
		all[i].secrets = stringsIn(s.Keys)
		all[i].none = func() (Cipher, error) { return open(s.Options, *new(K)) }
	}
	return all
}

// secretList returns the texts as secrets.
func secretList(texts []string) []connect.Secret {
	var list []connect.Secret
	for _, text := range texts {
		list = append(list, connect.NewSecret(text))
	}
	return list
}
