package stores

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tokenmigrate/migrate/connect"
	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// nodeAES is a table of an app's own, plain or encrypted with code of the app's
// own, as most apps that use no library have it; of Supabase's customers as well.
// There is no one product behind it: tables, columns and the shapes of values are
// those that public application code has again and again. All are parameters, and
// the table must be given, since nothing tells such a table from another's.
var nodeAES = &Store{
	Name: "node-aes", Aliases: []string{"homegrown-node-aes", "homegrown", "aes", "own-table"},
	Title:   "A table of your own (plain, or AES by your own code)",
	Summary: "one row per grant in a table that you name; plain, or AES-GCM, AES-CBC or secretbox as Node code uses them",
	Params: ownAES.params(append([]Param{
		{Name: "algorithm", Default: "aes-256-gcm", Doc: "how tokens are encrypted; none: all are plain", Choices: []string{"none", "aes-256-gcm", "aes-192-gcm", "aes-128-gcm",
			"aes-256-cbc", "aes-192-cbc", "aes-128-cbc", "aes-256-ctr", "aes-192-ctr", "aes-128-ctr", "chacha20-poly1305", "secretbox"}},
		{Name: "derive", Doc: "how the key is made of encryption_key; empty: it is the key, in hexadecimal, base64 or as it is; openssl-md5: as CryptoJS.AES and openssl enc do with a passphrase (U2FsdGVkX1...), newer openssl: openssl-sha256, with -pbkdf2: openssl-pbkdf2", Choices: []string{"hex", "base64", "raw", "latin1",
			"sha256", "sha512", "sha256-hex", "sha256-base64", "sha512-hex", "scrypt", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512", "hkdf-sha256", "openssl-md5", "openssl-sha256", "openssl-pbkdf2"}},
		{Name: "salt", Doc: "the salt of scrypt, pbkdf2 and hkdf, where values have none of their own; empty: salt (of hkdf none)"},
		{Name: "info", Doc: "the info of hkdf"},
		{Name: "iterations", Doc: "of pbkdf2, empty: 100000 (of openssl-pbkdf2: 10000); of scrypt its N, empty: 16384"},
		{Name: "layout", Default: "iv:tag:ct", Doc: "iv, tag, ct and salt in their order with the separator between, such as iv.ct.tag; with + as one blob, such as iv+tag+ct; json: an object of them; ct: iv and tag have columns; salted: as OpenSSL and CryptoJS, with derive openssl-..."},
		{Name: "encoding", Doc: "of the parts; empty: each value shows its own", Choices: []string{"hex", "base64", "base64url", "raw"}},
		{Name: "nonce_length", Doc: "bytes of the iv; empty: found out"},
		{Name: "salt_length", Doc: "bytes of a value's own salt; empty: found out"},
		{Name: "aad", Doc: "additional authenticated data; {name} stands for that column of the row, {column} for the name of the token's"},
		{Name: "prefix", Doc: "what encrypted values begin with, such as v1: or enc:, several separated by commas; an empty one among them: or with none"},
		plainParam,
	}, besideParams("iv", "tag", "salt")...)...),
	Cipher: "AES-GCM, AES-CBC, AES-CTR, ChaCha20-Poly1305 or XSalsa20-Poly1305, as the parameters say",
	Keys: []Key{
		{Name: "encryption_key", Env: "ENCRYPTION_KEY", Doc: "the app's key, or the secret that it is made of; several separated by commas, the newest first"},
		{Name: "old_keys", Doc: "older keys, separated by commas", Needed: neverNeeded},
	},
	Skips: tableSkips(),
	Warnings: []string{
		"What a key service encrypted (AWS KMS, Google Tink, Vault transit's vault:v1:) cannot be opened here: read it through a view or copy that holds it decrypted.",
	},
	MissingExpiry: lasting(),
	Find:          ownAES.find,
	Query: func(p Params) string {
		return tableQuery(p, append(besideSQL(p, nodeParts...), nodeAADSQL(p)...)...)
	},
	Opener: openNodeAES,
}

var ownAES = &ownTable{settle: settleNodeAES}

var nodeParts = []string{"iv", "tag", "salt"}

// settleNodeAES finds the columns beside the tokens, and the layout as far as the
// columns' types tell it.
func settleNodeAES(_ *Catalogue, t *Table, p, given Params) (string, bool) {
	names := map[string][]string{"iv": {"nonce"}, "tag": {"auth_tag"}, "salt": nil}
	for _, part := range nodeParts {
		if !findParts(t, p, given, part, names[part], nodeShared(t, p, given, part)) {
			return "", false
		}
	}
	for _, name := range nodeAADNames(given["aad"]) {
		if !t.Has(name) {
			return "", false
		}
	}
	algorithm, openssl := given["algorithm"], strings.HasPrefix(given["derive"], "openssl-")
	if openssl && algorithm == "" {
		algorithm = "aes-256-cbc"
		p["algorithm"] = algorithm
	}
	isJSON := func(column string) bool { return strings.HasPrefix(t.Type(column), "json") }
	switch {
	case given["layout"] != "":
		p["layout"] = given["layout"]
	case openssl:
		p["layout"] = "salted"
	case p["access_token_iv"]+p["response_iv"] != "":
		p["layout"] = "ct"
	case isJSON(p["access_token"]) || p["access_token"] == "" && isJSON(p["response"]):
		p["layout"] = "json"
	case algorithm == "secretbox":
		p["layout"] = "iv+ct"
	case strings.HasSuffix(algorithm, "-cbc"), strings.HasSuffix(algorithm, "-ctr"):
		p["layout"] = "iv:ct"
	default:
		p["layout"] = "iv:tag:ct"
	}
	if algorithm == "none" {
		for _, param := range besideParams(nodeParts...) {
			p[param.Name] = ""
		}
		return "plain", true
	}
	if algorithm == "" {
		algorithm = "aes-256-gcm"
	}
	return algorithm + " as " + p["layout"], true
}

// nodeShared lists the columns that may be a part of all of a row's tokens though
// they are only called by it: as far as the layout lacks the part, and the table
// does not leave open that they are for something else.
func nodeShared(t *Table, p, given Params, part string) []string {
	layout := given["layout"]
	if layout == "json" || strings.Contains(layout, part) {
		return nil
	}
	bytes := func(column string) bool { return t.Type(column) == "bytea" }
	switch part {
	case "iv":
		// OpenID Connect and magic links have a nonce, too.
		if layout != "" || bytes("nonce") || t.First("tag", "auth_tag", "authTag") != "" {
			return []string{"iv", "nonce"}
		}
		return []string{"iv"}
	case "tag": // a tag alone is a label
		if p["access_token_iv"]+p["response_iv"] != "" {
			return []string{"tag", "auth_tag", "authTag"}
		}
		return []string{"auth_tag", "authTag"}
	}
	if derive := given["derive"]; derive == "scrypt" || strings.HasPrefix(derive, "pbkdf2-") || strings.HasPrefix(derive, "hkdf-") {
		return []string{"salt"}
	}
	return nil // such as that of a password
}

var nodeAADName = regexp.MustCompile(`\{([^{}]+)\}`)

// nodeAADNames lists the columns that a template of additional data takes.
func nodeAADNames(template string) (names []string) {
	for _, found := range nodeAADName.FindAllStringSubmatch(template, -1) {
		if name := found[1]; name != "column" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// nodeAADInput is what the query calls the n-th of them.
func nodeAADInput(n int) string { return "aad_" + strconv.Itoa(n+1) }

func nodeAADSQL(p Params) (columns []string) {
	for i, name := range nodeAADNames(p["aad"]) {
		columns = append(columns, ident(name)+"::text AS "+nodeAADInput(i))
	}
	return columns
}

func openNodeAES(_ context.Context, _ *DB, p Params, keys Keys) (source.Opener, error) {
	if p["algorithm"] == "none" {
		if keysGiven(keys) {
			return nil, paramError("algorithm", "is none, so that the keys in source.decrypt would never be used: say how tokens are encrypted, or remove the keys")
		}
		return newTableOpener(p, nil, sameCipher(nil))
	}
	c, err := newNodeAES(p, keys)
	if err != nil {
		return nil, err
	}
	inputs, aad := besideInputs(p, nodeParts...), map[string]string{}
	for i, name := range nodeAADNames(p["aad"]) {
		aad[name] = nodeAADInput(i)
		inputs = append(inputs, aad[name])
	}
	return newTableOpener(p, inputs, func(name, column string) (sealedColumn, error) {
		s := sealedColumn{cipher: c, with: beside(p, name, nodeParts...), fixed: map[string]string{"column": column}, strict: p["plain"] != "allowed"}
		for name, input := range aad {
			s.with[name] = input
		}
		return s, nil
	})
}

// newNodeAES makes the cipher.
func newNodeAES(p Params, keys Keys) (*cipher.NodeAES, error) {
	o := cipher.NodeAESOptions{Algorithm: p["algorithm"], Derive: p["derive"], Salt: p["salt"], Info: p["info"], Layout: p["layout"],
		Encoding: p["encoding"], AAD: p["aad"]}
	if p["prefix"] != "" {
		for prefix := range strings.SplitSeq(p["prefix"], ",") {
			o.Prefixes = append(o.Prefixes, strings.TrimSpace(prefix))
		}
	}
	for _, number := range []struct {
		name string
		to   *int
	}{{"iterations", &o.Iterations}, {"nonce_length", &o.NonceLength}, {"salt_length", &o.SaltLength}} {
		if text := p[number.name]; text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return nil, paramError(number.name, "must be a whole number from 1")
			}
			*number.to = n
		}
	}
	// A secret may have commas of its own, or be several.
	var c *cipher.NodeAES
	var err error
	for _, list := range [][]connect.Secret{keyTexts(keys, "encryption_key"), {keys["encryption_key"]}, keys.List("encryption_key")} {
		if c, err = cipher.NewNodeAES(o, append(list, keys.List("old_keys")...)...); err == nil {
			return c, nil
		}
	}
	var wrong *cipher.KeyError
	if errors.As(err, &wrong) && wrong.Name != "encryption_key" {
		return nil, paramError(wrong.Name, fmt.Sprintf("%q %s", p[wrong.Name], wrong.Problem))
	}
	return nil, err
}
