package source

import "testing"

func TestJoinKey_IsUndoneBySplitKey(t *testing.T) {
	for _, test := range []struct{ first, second, want string }{
		{"slack", "U1", "slack/U1"},
		{"", "", "/"},
		{"a/b", "c", "a%2Fb/c"},
		{"a", "b/c", "a/b%2Fc"},
		{"100%", "%2F", "100%25/%252F"},
		{"ü ?&", "x", "ü ?&/x"},
	} {
		got := joinKey(test.first, test.second, true)
		if got != test.want {
			t.Errorf("joinKey(%q, %q): got %q, want %q", test.first, test.second, got, test.want)
		}
		first, second, ok := splitKey(got, true)
		if !ok || first != test.first || second != test.second {
			t.Errorf("splitKey(%q): got %q, %q, %t, want %q, %q", got, first, second, ok, test.first, test.second)
		}
	}
	if got := joinKey("a/b%", "", false); got != "a/b%" {
		t.Errorf("single key: got %q, want it as it is", got)
	}
}

func TestSplitKey_RefusesWhatJoinKeyNeverMakes(t *testing.T) {
	for _, key := range []string{"", "a", "a/b/c", "a%/b", "a%2/b", "a/%41", "a%2f/b"} {
		if first, second, ok := splitKey(key, true); ok {
			t.Errorf("splitKey(%q): got %q, %q, want a refusal", key, first, second)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add("a/b", "%2F")
	f.Fuzz(func(t *testing.T, first, second string) {
		one, two, ok := splitKey(joinKey(first, second, true), true)
		if !ok || one != first || two != second {
			t.Errorf("got %q, %q, %t, want %q, %q", one, two, ok, first, second)
		}
	})
}

func TestColumn_TellsPossibleKeys(t *testing.T) {
	uuid := column{kind: kindUUID}
	for _, test := range []struct {
		column column
		part   string
		want   bool
	}{
		{column{kind: kindInteger, oid: oidInt8}, "-9223372036854775808", true},
		{column{kind: kindInteger, oid: oidInt8}, "9223372036854775808", false},
		{column{kind: kindInteger, oid: oidInt4}, "2147483648", false},
		{column{kind: kindInteger, oid: oidInt2}, "32767", true},
		{column{kind: kindInteger, oid: oidInt2}, "32768", false},
		{column{kind: kindInteger, oid: oidInt8}, "x", false},
		{column{kind: kindInteger, oid: oidInt8}, "", false},
		{uuid, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", true},
		{uuid, "6BA7B810-9dad-11d1-80b4-00c04fd430c8", false}, // never written so
		{uuid, "6ba7b8109dad11d180b400c04fd430c8", false},
		{uuid, "6ba7b810-9dad-11d1-80b4-00c04fd430cg", false},
		{column{kind: kindText}, "anything", true},
		{column{kind: kindText}, "nul\x00", false},
	} {
		if got := test.column.possible(test.part); got != test.want {
			t.Errorf("possible(%q) of kind %d: got %t, want %t", test.part, test.column.kind, got, test.want)
		}
	}
}
