package source

import (
	"testing"
	"time"
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestReadTime_Text(t *testing.T) {
	const day = 1767139200000 // 2025-12-31
	for _, test := range []struct {
		text string
		want int64
		ok   bool
	}{
		// numbers
		{"1767139200", day, true},
		{"1767139200000", day, true},
		{"1767139200.1239", day + 123, true},
		{"1767139200.9999999", day + 999, true},
		{"1767139200000.7", day, true},
		{"+1767139200", day, true},
		{" 1767139200\n", day, true},
		{"1767139200.", day, true},
		{"1.7671392e9", day, true},
		{"1.7671392E+12", day, true},
		{"946684800", 946684800000, true}, // 2000-01-01, the first that counts
		{"946684799.999", 0, true},
		{"3600", 0, true}, // a lifetime
		{"0", 0, true}, {"-1", 0, true}, {"0.0", 0, true}, {"-0.5e3", 0, true},
		{"99999999999", 0, true},        // the year 5138
		{"100000000000", 0, true},       // milliseconds: 1973
		{"253402300799", 0, true},       // the year 9999 in seconds reads as 1978
		{"999999999999999999", 0, true}, // no overflow
		{"99999999999999999999999999", 0, true},
		{"1e400", 0, false},
		{"", 0, true}, {"  ", 0, true},
		{"NaN", 0, true}, {"nan", 0, true},
		{"infinity", 0, true}, {"-Infinity", 0, true}, {"+inf", 0, true},
		{".", 0, false}, {"-", 0, false}, {"1.2.3", 0, false}, {"0x10", 0, false}, {"1_000", 0, false}, {"1e", 0, false},

		// ISO
		{"2025-12-31", day, true},
		{"2025-12-31T00:00:00Z", day, true},
		{"2025-12-31t00:00:00z", day, true},
		{"2025-12-31 00:00:00", day, true},
		{"2025-12-31 00:00", day, true},
		{"2025-12-31 00:00:00.5", day + 500, true},
		{"2025-12-31 00:00:00,123999", day + 123, true},
		{"2025-12-31T00:00:00.000Z", day, true},
		{"2025-12-31 00:00:00+00", day, true},
		{"2025-12-31 00:00:00+0000", day, true},
		{"2025-12-31 05:30:00+05:30", day, true},
		{"2025-12-31 05:30:00 +0530", day, true},
		{"2025-12-30 19:00:00-05", day, true},
		{"2025-12-31 00:00:00 UTC", day, true},
		{"2025-12-31 00:53:28+00:53:28", day, true},
		{"2024-02-29", 1709164800000, true},
		{"2025-12-31 23:59:60", day + 86400000, true},
		{"2075-12-31", 3344976000000, true}, // 49 years ahead
		{"2076-03-02", 0, true},             // over 50
		{"9999-12-31", 0, true},
		{"+275760-09-13T00:00:00.000Z", 0, true},
		{"1999-12-31T23:59:59.999Z", 0, true},
		{"1999-12-31T23:59:59-01:00", 946688399000, true},
		{"0001-01-01 00:00:00+00", 0, true},
		{"0044-03-15 00:00:00 BC", 0, true},
		{"0044-03-15 BC", 0, true},
		{"2025-02-29", 0, false},
		{"2025-13-01", 0, false},
		{"2025-00-10", 0, false},
		{"0000-00-00 00:00:00", 0, false},
		{"2025-12-31T", 0, false},
		{"2025-12-31T24:00:00", 0, false},
		{"2025-12-31T00:60:00", 0, false},
		{"2025-12-31T00:00:61", 0, false},
		{"2025-12-31T00:00:00.", 0, false},
		{"2025-12-31T00:00:00+24:00", 0, false},
		{"2025-12-31T00:00:00+1", 0, false},
		{"2025-12-31T00:00:00 CEST", 0, false},
		{"2025-12-31T00:00:00Zx", 0, false},
		{"31.12.2025", 0, false}, {"12/31/2025", 0, false}, {"tomorrow", 0, false}, {"25-12-31", 0, false},
	} {
		got, ok := readTime(value{kindText, test.text}, testNow)
		if got != test.want || ok != test.ok {
			t.Errorf("%q: got %d, %t, want %d, %t", test.text, got, ok, test.want, test.ok)
		}
	}
}

func TestReadTime_AgreesWithGoOnISO(t *testing.T) {
	at := time.Date(2001, 1, 1, 0, 0, 0, 987e6, time.UTC)
	for range 2000 {
		for _, layout := range []string{"2006-01-02T15:04:05.000Z07:00", "2006-01-02 15:04:05.000-07", "2006-01-02 15:04:05.000 -0700"} {
			zoned := at.In(time.FixedZone("", 5*3600))
			text := zoned.Format(layout)
			got, ok := readTime(value{kindText, text}, testNow)
			if !ok || got != at.UnixMilli() {
				t.Fatalf("%q: got %d, %t, want %d", text, got, ok, at.UnixMilli())
			}
		}
		at = at.Add(17*time.Hour + 13*time.Minute + 7*time.Second)
	}
}

func FuzzReadTime(f *testing.F) {
	for _, seed := range []string{"1767139200", "2025-12-31 00:00:00.5+01:30", "1e9", "infinity"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		latest := testNow.AddDate(50, 0, 0).UnixMilli()
		for k := range kindList {
			if got, _ := readTime(value{k, text}, testNow); got != 0 && (got < 946684800000 || got > latest) {
				t.Errorf("%q as kind %d: got %d, outside 2000 to 50 years ahead", text, k, got)
			}
		}
	})
}
