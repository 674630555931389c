package stores

import (
	"context"
	"slices"
	"strings"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// The ways in which Rails applications encrypt attributes.
const (
	railsActiveRecord  = "active-record"
	railsLockbox       = "lockbox"
	railsAttrEncrypted = "attr-encrypted"
	railsPlain         = "plain"
)

// rails is a Rails application's own table of what OmniAuth gave it. Facts: the
// gems activerecord (7.1 and newer), lockbox, attr_encrypted and encryptor for
// the ciphers; OmniAuth's auth hash and the usual tutorials for tables and
// columns, all of which are parameters. Such tables are known by a provider
// beside a column <token>_ciphertext, as Lockbox has it, or a pair
// encrypted_<token> and encrypted_<token>_iv, as attr_encrypted has it; or, where
// the schema has Rails' own ar_internal_metadata, by provider, uid and a token.
var rails = &Store{
	Name: "rails", Aliases: []string{"omniauth", "lockbox", "attr_encrypted", "active-record-encryption"},
	Title:   "Ruby on Rails (OmniAuth)",
	Summary: "the app's own table, such as identities or connected_accounts; plain, or by Active Record Encryption, Lockbox or attr_encrypted",
	Params: railsTable.params(append([]Param{
		{Name: "flavour", Default: railsActiveRecord, Doc: "what encrypts; told by the names of the columns", Choices: []string{railsActiveRecord, railsLockbox, railsAttrEncrypted, railsPlain}},
		plainMarked.of("of active-record: "),
		{Name: "algorithm", Doc: "of Lockbox: aes-gcm, xchacha20, xsalsa20 or hybrid, several separated by commas; of attr_encrypted: aes-256-gcm, aes-256-cbc, ..."},
		{Name: "mode", Doc: "of attr_encrypted; told by the columns iv and salt", Choices: []string{"per_attribute_iv", "per_attribute_iv_and_salt", "single_iv_and_salt"}},
		{Name: "key_table", Doc: "Lockbox's key_table where it is not the table's name; several separated by commas"},
		{Name: "key_attribute", Doc: "Lockbox's key_attribute where it is not the column's name; several separated by commas"},
		{Name: "associated_data", Doc: "Lockbox's associated_data"},
	}, besideParams("iv", "salt")...)...),
	Cipher:        "AES-256-GCM in the layouts of Active Record Encryption, Lockbox (also its other algorithms) and attr_encrypted (also AES-CBC)",
	Keys:          slices.Concat(railsKeyring, railsOtherKeys),
	Skips:         tableSkips(),
	MissingExpiry: lasting(),
	Find:          railsTable.find,
	Query:         func(p Params) string { return tableQuery(p, railsBeside(p)...) },
	Opener: func(_ context.Context, _ *DB, p Params, keys Keys) (source.Opener, error) {
		switch p["flavour"] {
		case railsLockbox:
			return newTableOpener(p, nil, func(_, column string) (sealedColumn, error) {
				c, err := newLockbox(p, keys, column)
				return sealedColumn{cipher: c, strict: strings.HasSuffix(column, "_ciphertext")}, err
			})
		case railsAttrEncrypted:
			return openAttrEncrypted(p, keys)
		case railsPlain:
			if keysGiven(keys) {
				return nil, paramError("flavour", "is plain, so that the keys in source.decrypt would never be used: say what encrypts, or remove the keys")
			}
			return newTableOpener(p, nil, sameCipher(nil))
		}
		c, err := newActiveRecord(keys)
		if err != nil {
			return nil, err
		}
		return newTableOpener(p, nil, guardedCipher(c, p))
	},
}

// railsKeyring are the keys of Active Record Encryption.
var railsKeyring = []Key{
	{Name: "primary_key", Env: "ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY", Doc: "active_record_encryption.primary_key of Rails' credentials; several separated by commas, also an attribute's own key", Needed: railsMessage},
	{Name: "key_derivation_salt", Env: "ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT", Doc: "active_record_encryption.key_derivation_salt; several separated by commas", Needed: railsMessage},
	{Name: "deterministic_key", Env: "ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY", Doc: "active_record_encryption.deterministic_key, for deterministic attributes", Needed: railsMessage},
	{Name: "old_keys", Doc: "keys of previous: schemes, separated by commas", Needed: neverNeeded},
	{Name: "raw_key", Doc: "the key of a key provider of the application's own, which is not derived", Needed: neverNeeded},
}

// railsOtherKeys are those of Lockbox and attr_encrypted.
var railsOtherKeys = []Key{
	{Name: "master_key", Env: "LOCKBOX_MASTER_KEY", Doc: "Lockbox's master key, 64 hexadecimal digits; several separated by commas",
		Needed: func(in source.Values) bool { return !railsMessage(in) && !railsHasIV(in) }},
	{Name: "key", Doc: "the key of one Lockbox attribute alone, 64 hexadecimal digits (of the algorithm hybrid the decryption key, 128)", Needed: neverNeeded},
	{Name: "encryption_key", Doc: "attr_encrypted's key; several separated by commas", Needed: railsHasIV},
}

// railsMessage reports whether a row has a value of Active Record Encryption.
func railsMessage(in source.Values) bool {
	return slices.ContainsFunc([]string{in["access_token"], in["refresh_token"], in[tableResponse]}, func(text string) bool { return strings.HasPrefix(text, `{"p":`) })
}

func railsHasIV(in source.Values) bool { return in["access_token_iv"]+in["response_iv"] != "" }

var railsTable = &ownTable{usual: railsNames, recognise: recogniseRails, settle: settleRails}

var railsNames = map[string][]string{
	"provider":         {"provider", "provider_name"},
	"user_id":          {"user_id", "owner_id", "account_id"},
	"access_token":     {"access_token_ciphertext", "token_ciphertext", "oauth_token_ciphertext", "encrypted_access_token", "encrypted_token", "encrypted_oauth_token", "access_token", "token", "oauth_token"},
	"refresh_token":    {"refresh_token_ciphertext", "oauth_refresh_token_ciphertext", "encrypted_refresh_token", "encrypted_oauth_refresh_token", "refresh_token", "oauth_refresh_token"},
	"external_subject": {"uid", "provider_uid"},
	"oauth1_secret":    {"access_token_secret", "secret", "oauth_token_secret", "token_secret"},
}

func recogniseRails(c *Catalogue) (found []tableMatch) {
	for _, t := range c.Tables {
		if t.First(railsNames["provider"]...) == "" {
			continue
		}
		token := t.First(railsNames["access_token"]...)
		clear := strings.HasSuffix(token, "_ciphertext") || strings.HasPrefix(token, "encrypted_") && t.Has(token+"_iv")
		if clear || token != "" && t.Has("uid", "created_at", "updated_at") && c.Beside(t, "ar_internal_metadata") != nil {
			found = append(found, tableMatch{t, nil})
		}
	}
	return found
}

// settleRails tells what encrypts the table's columns.
func settleRails(_ *Catalogue, t *Table, p, given Params) (string, bool) {
	for _, part := range []string{"iv", "salt"} { // attr_encrypted's always have the attribute's name
		if !findParts(t, p, given, part, nil, nil) {
			return "", false
		}
	}
	token := p["access_token"]
	if token == "" {
		token = p["response"]
	}
	flavour := given["flavour"]
	switch {
	case flavour != "":
	case strings.HasSuffix(token, "_ciphertext"):
		flavour = railsLockbox
	case p["access_token_iv"]+p["response_iv"] != "" || given["mode"] != "":
		flavour = railsAttrEncrypted
	default:
		flavour = railsActiveRecord
	}
	p["flavour"], p["mode"] = flavour, given["mode"]
	variant := map[string]string{railsActiveRecord: "Active Record Encryption or plain", railsLockbox: "Lockbox", railsAttrEncrypted: "attr_encrypted", railsPlain: "plain"}[flavour]
	if flavour != railsAttrEncrypted {
		for _, param := range besideParams("iv", "salt") {
			p[param.Name] = ""
		}
		return variant, true
	}
	if p["mode"] == "" {
		switch {
		case p["access_token_salt"]+p["response_salt"] != "":
			p["mode"] = "per_attribute_iv_and_salt"
		case p["access_token_iv"]+p["response_iv"] != "":
			p["mode"] = "per_attribute_iv"
		default:
			p["mode"] = "single_iv_and_salt"
		}
	}
	return variant + ", " + p["mode"], true
}

// railsBeside selects what attr_encrypted keeps beside its values.
func railsBeside(p Params) []string { return besideSQL(p, "iv", "salt") }

// newActiveRecord makes the cipher of Active Record Encryption.
func newActiveRecord(keys Keys) (*cipher.Rails, error) {
	return cipher.NewRails(cipher.RailsKeys{
		Primary: keyTexts(keys, "primary_key"), Deterministic: keyTexts(keys, "deterministic_key"), Previous: keyTexts(keys, "old_keys"),
		Salts: keyTexts(keys, "key_derivation_salt"), Raw: keys.List("raw_key"),
	})
}

// newLockbox makes the cipher of one column.
func newLockbox(p Params, keys Keys, column string) (*cipher.Lockbox, error) {
	_, table := splitName(p["table"])
	or := func(param, usual string) []string {
		if list := p.List(param); len(list) > 0 {
			return list
		}
		return []string{usual}
	}
	var versions []cipher.LockboxVersion
	for _, algorithm := range or("algorithm", "aes-gcm") {
		if !slices.Contains([]string{"aes-gcm", "xchacha20", "xsalsa20", "hybrid"}, algorithm) {
			return nil, paramError("algorithm", "Lockbox's are aes-gcm, xchacha20, xsalsa20 and hybrid")
		}
		base := cipher.LockboxVersion{Algorithm: algorithm, AssociatedData: p["associated_data"]}
		for _, key := range keys.List("key") {
			v := base
			v.Key = key
			if size := len(key.Reveal()); len(or("algorithm", "")) == 1 || (algorithm == "hybrid") == (size >= 128) {
				versions = append(versions, v)
			}
		}
		if algorithm == "hybrid" {
			continue // derives no key from the master key
		}
		for _, key := range keys.List("master_key") {
			for _, table := range or("key_table", table) {
				for _, attribute := range or("key_attribute", column) {
					v := base
					v.MasterKey, v.Table, v.Attribute = key, table, attribute
					versions = append(versions, v)
				}
			}
		}
	}
	return cipher.NewLockbox(versions...)
}

// openAttrEncrypted opens attr_encrypted's columns: those that have an iv, and
// in the mode that has none, all that are called encrypted_<attribute>.
func openAttrEncrypted(p Params, keys Keys) (source.Opener, error) {
	if a := p["algorithm"]; a != "" && !attrAlgorithms[a] {
		return nil, paramError("algorithm", "attr_encrypted's are aes-256-gcm and aes-256-cbc, and these with 128 or 192")
	}
	algorithm := p["algorithm"]
	if algorithm == "" && p["mode"] == "single_iv_and_salt" {
		algorithm = "aes-256-cbc" // what there was when that was the usual mode
	}
	c, err := cipher.NewAttrEncrypted(cipher.AttrEncryptedOptions{Mode: p["mode"], Algorithm: algorithm}, keyTexts(keys, "encryption_key")...)
	if err != nil {
		return nil, err
	}
	parts := []string{"iv", "salt"}
	return newTableOpener(p, besideInputs(p, parts...), func(name, column string) (sealedColumn, error) {
		with := beside(p, name, parts...)
		if with["iv"] == "" && (p["mode"] != "single_iv_and_salt" || !strings.HasPrefix(column, "encrypted_")) {
			return sealedColumn{}, nil
		}
		return sealedColumn{cipher: c, with: with, strict: true}, nil
	})
}

var attrAlgorithms = map[string]bool{"aes-256-gcm": true, "aes-192-gcm": true, "aes-128-gcm": true, "aes-256-cbc": true, "aes-192-cbc": true, "aes-128-cbc": true}
