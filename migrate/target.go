package migrate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tokenmigrate/checkpoint"
)

// TargetTables is the part of Options.Target that names the tables of a store. It
// is not the configuration's but found in the source, so that a migration does not
// go on with another table that has come to look like the store's. A checkpoint of a
// version that did not keep it takes it over.
const TargetTables = "tables"

// target returns what a migration is between, as the checkpoint keeps it.
func target(o *Options, key []byte) map[string]string {
	out := maps.Clone(o.Target)
	if out == nil {
		out = map[string]string{}
	}
	h := newHasher(key, "")
	for name, text := range o.Hashed {
		sum := h.text(text)
		out[name] = fmt.Sprintf("hmac:%x", sum[:])
	}
	return out
}

// usage tells how far a migration has come.
type usage interface {
	Used(ctx context.Context, migration int64) (sent bool, imported int64, err error)
}

// checkTarget refuses to go on with a checkpoint that was made between other
// ends, unless nothing was sent yet or the user accepts the change. It returns
// what changed.
func checkTarget(ctx context.Context, o *Options, store usage, migration checkpoint.Migration) (changed []string, err error) {
	is := target(o, migration.FingerprintKey)
	changed = checkpoint.Changed(migration.Target, is)
	refused := changed
	if _, kept := migration.Target[TargetTables]; !kept {
		refused = slices.DeleteFunc(slices.Clone(changed), func(name string) bool { return name == TargetTables })
	}
	if len(refused) == 0 || o.AcceptConfigChange {
		return changed, nil
	}
	sent, imported, err := store.Used(ctx, migration.ID)
	if err != nil || !sent {
		return changed, err
	}
	parts := make([]string, len(refused))
	for i, name := range refused {
		parts[i] = targetName(name)
		if _, secret := o.Hashed[name]; !secret {
			parts[i] += " (" + difference(migration.Target[name], is[name]) + ")"
		}
	}
	again := ""
	if imported > 0 {
		again = fmt.Sprintf("; another migration name sends all %d imported tokens again", imported)
	}
	return changed, fmt.Errorf("%w: the checkpoint of migration %q was made with another %s; if the same tokens are meant, --accept-config-change sends those that now differ, and no others%s",
		ErrConfig, o.Migration, strings.Join(parts, ", another "), again)
}

// CheckTarget reports whether a run would be refused since the checkpoint's
// migration was made between other ends. Of o it looks at Migration, Target,
// Hashed and AcceptConfigChange alone.
//
// Errors: one that wraps ErrConfig and names what changed; else as of the store.
func CheckTarget(ctx context.Context, o Options, store *checkpoint.Store, migration checkpoint.Migration) error {
	_, err := checkTarget(ctx, &o, store, migration)
	return err
}

// targetName returns the configuration's name for a part of a target.
func targetName(part string) string {
	switch part {
	case "query", "where", "params", "store":
		return "source." + part
	case "cipher":
		return "source.decrypt"
	case "connectors", "environment":
		return "destination." + part
	case TargetTables:
		return "table of the source"
	}
	return part
}

// difference tells how two texts of a target differ; of lists such as "a=b, c=d"
// only the entries that do.
func difference(was, is string) string {
	before, after := entries(was), entries(is)
	if before == nil || after == nil {
		return "was " + shown(was) + ", is " + shown(is)
	}
	names := maps.Clone(before)
	maps.Copy(names, after)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if before[name] != after[name] {
			parts = append(parts, fmt.Sprintf("%s was %s, is %s", name, shown(before[name]), shown(after[name])))
		}
	}
	return strings.Join(parts, ", ")
}

// entries reads "a=b, c=d"; nil: the text is no such list.
func entries(text string) map[string]string {
	m := map[string]string{}
	for part := range strings.SplitSeq(text, ", ") {
		i := strings.LastIndexByte(part, '=')
		if i < 0 {
			return nil
		}
		m[part[:i]] = part[i+1:]
	}
	return m
}

func shown(text string) string {
	if text == "" {
		return "none"
	}
	return strconv.Quote(text)
}
