package stores

import (
	"context"

	"tokenmigrate/source"
	"tokenmigrate/source/cipher"
)

// prismaField is an application's own table whose tokens prisma-field-encryption
// encrypts (fields marked /// @encrypted). Facts: the npm packages
// prisma-field-encryption and @47ng/cloak. The table must be given.
var prismaField = &Store{
	Name: "prisma-field-encryption", Aliases: []string{"prisma-field", "cloak"},
	Title:   "prisma-field-encryption",
	Summary: "one row per grant in a table that you name; fields marked @encrypted, or still plain",
	Params:  prismaTable.params(),
	Cipher:  "AES-256-GCM, v1.aesgcm256...; each value is told by itself",
	Keys: []Key{
		{Name: "encryption_key", Env: "PRISMA_FIELD_ENCRYPTION_KEY", Doc: "the key, k1.aesgcm256..."},
		{Name: "old_keys", Env: "PRISMA_FIELD_DECRYPTION_KEYS", Doc: "further keys, separated by commas", Needed: neverNeeded},
	},
	Skips:         tableSkips(),
	MissingExpiry: lasting(),
	Find:          prismaTable.find,
	Query:         func(p Params) string { return tableQuery(p) },
	Opener: func(_ context.Context, _ *DB, p Params, keys Keys) (source.Opener, error) {
		c, err := cipher.NewPrismaField(keys["encryption_key"], keys["old_keys"])
		if err != nil {
			return nil, err
		}
		return newTableOpener(p, nil, sameCipher(c))
	},
}

var prismaTable = &ownTable{}
