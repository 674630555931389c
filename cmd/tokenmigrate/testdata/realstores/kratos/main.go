// Command kratos encrypts texts with Ory Kratos' own package cipher. Its input is
// JSON objects of an algorithm (as ciphers.algorithm names it), a secret of
// secrets.cipher and a text; for each it prints what Kratos would store, a line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/ory/kratos/cipher"
)

// secrets is the part of Kratos' configuration that package cipher asks for.
type secrets [][32]byte

func (s secrets) SecretsCipher(context.Context) [][32]byte { return s }

func main() {
	for in := json.NewDecoder(os.Stdin); ; {
		var value struct{ Algorithm, Secret, Text string }
		if err := in.Decode(&value); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		var keys secrets
		if len(value.Secret) == 32 {
			keys = secrets{[32]byte([]byte(value.Secret))}
		}
		var c cipher.Cipher
		switch value.Algorithm {
		case "aes":
			c = cipher.NewCryptAES(keys)
		case "xchacha20-poly1305":
			c = cipher.NewCryptChaCha20(keys)
		default:
			c = cipher.NewNoop()
		}
		stored, err := c.Encrypt(context.Background(), []byte(value.Text))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(stored)
	}
}
