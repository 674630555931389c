package main

import (
	"strings"
	"testing"
)

func TestShardOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, index, count string
		want               shard
		says               string // of the error
	}{
		{"", "", "", shard{0, 1}, ""},
		{"", "0", "", shard{0, 1}, ""},
		{"", "3", "4", shard{3, 4}, ""},
		{"", "0", "1", shard{0, 1}, ""},
		{"", "", "1", shard{0, 1}, ""},
		{"2/3", "0", "9", shard{2, 3}, ""},
		{"0/1", "5", "", shard{0, 1}, ""},
		{"", "3", "", shard{}, "TOKENMIGRATE_SHARDS does not say how many"},
		{"", "4", "4", shard{}, "the index must be 0 to 3"},
		{"", "x", "4", shard{}, "the index must be 0 to 3"},
		{"", "", "4", shard{}, "completionMode Indexed, or give --shard I/4"},
		{"", "0", "0", shard{}, "the number of shards, 1 to 1000"},
		{"", "0", "four", shard{}, "the number of shards, 1 to 1000"},
		{"3/3", "", "", shard{}, "0 <= I < N"},
		{"-1/3", "", "", shard{}, "0 <= I < N"},
		{"1", "", "", shard{}, "0 <= I < N"},
		{"1/2/3", "", "", shard{}, "0 <= I < N"},
		{"0/1001", "", "", shard{}, "0 <= I < N"},
	} {
		got, err := shardOf(c.text, func(name string) (string, bool) {
			value := map[string]string{indexVar: c.index, shardsVar: c.count}[name]
			return value, value != ""
		})
		if c.says == "" && (err != nil || got != c.want) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("--shard %q, index %q of %q: got %v, %v, want %v, %q", c.text, c.index, c.count, got, err, c.want, c.says)
		}
	}
}
