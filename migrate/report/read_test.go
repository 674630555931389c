package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRead_ReadsBackWhatWasWritten(t *testing.T) {
	t.Parallel()
	for i, want := range exampleReports() {
		text := jsonOf(t, want)
		got, err := Read(bytes.NewReader(text))
		if err != nil {
			t.Errorf("report %d: %v", i, err)
			continue
		}
		// Bytes that are no text were written as the sign for that, in its long form.
		text = bytes.ReplaceAll(text, []byte(`\ufffd`), []byte("\ufffd"))
		if again := jsonOf(t, got); !bytes.Equal(again, text) {
			t.Errorf("report %d: written again it differs", i)
		}
	}
	got, err := Read(bytes.NewReader(jsonOf(t, bigDryRun())))
	if err != nil || !reflect.DeepEqual(got, bigDryRun()) {
		t.Errorf("got %+v, %v, want what was written", got, err)
	}
}

func TestRead_FindsTheReportInALog(t *testing.T) {
	t.Parallel()
	one, two := example(), example()
	one.Migration, two.Migration = "one", "two"
	a, b := string(jsonOf(t, one)), string(jsonOf(t, two))
	log := `{"level":"info","version":3,"time":"2026-10-01T12:00:00Z","message":"progress"}` + "\n"
	plain := "tokenmigrate: a run would end so: {not every token} is imported\n"
	var line bytes.Buffer
	if err := json.Compact(&line, []byte(a)); err != nil {
		t.Fatal(err)
	}
	line.WriteByte('\n')
	for name, c := range map[string]struct{ text, want string }{
		"alone":                     {a, "one"},
		"without its last line end": {strings.TrimRight(a, "\n"), "one"},
		"after a byte order mark":   {"\ufeff" + a, "one"},
		"among log lines":           {log + log + a + log + plain, "one"},
		"after plain lines":         {plain + "\n\n" + a + plain, "one"},
		"the last of two":           {a + log + b, "two"},
		"the whole one of two":      {a + log + b[:len(b)/2], "one"},
		"after kubectl's times":     {prefixed(log+a+log+plain, func(n int) string { return "2026-10-01T12:00:00." + strings.Repeat("7", 1+n%9) + "Z " }), "one"},
		"after kubectl's pods":      {prefixed(log+a+log+b+plain, func(int) string { return "[pod/move-x/tokenmigrate] 2026-10-01T12:00:00Z " }), "two"},
		"after Compose's services":  {prefixed(plain+a+log, func(int) string { return "migrate-1  | " }), "one"},
		"in one line, after a time": {prefixed(log+line.String()+log, func(int) string { return "2026-10-01T12:00:00Z stdout F " }), "one"},
		"with prefixes and Windows": {strings.ReplaceAll(prefixed(log+a+plain, func(int) string { return "host: " }), "\n", "\r\n"), "one"},
		"with Windows line ends":    {strings.ReplaceAll(log+a+plain, "\n", "\r\n"), "one"},
	} {
		got, err := Read(strings.NewReader(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got.Migration != c.want {
			t.Errorf("%s: got the report of %s, want that of %s", name, got.Migration, c.want)
		}
	}
}

// prefixed puts before the nth line what a log does.
func prefixed(text string, prefix func(n int) string) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		b.WriteString(prefix(n) + line)
		n++
	}
	return b.String()
}

func TestRead_TellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := string(jsonOf(t, example()))
	for name, c := range map[string]struct {
		text io.Reader
		want string
	}{
		"nothing":          {strings.NewReader(""), "there is none in this text"},
		"something else":   {strings.NewReader(`{"a": 1}` + "\n[1]\nhello"), "there is none in this text"},
		"cut off":          {strings.NewReader(good[:len(good)/2]), "it is cut off, or damaged"},
		"cut off in a log": {strings.NewReader(prefixed(good[:len(good)/2], func(int) string { return "a | " })), "it is cut off, or damaged"},
		"another prefix":   {strings.NewReader(prefixed(good, func(int) string { return "app|" })), "without what else a log puts into its lines"},
		"damaged":          {strings.NewReader(strings.Replace(good, `"mode":`, `"mode"`, 1)), "it is cut off, or damaged"},
		"a newer version":  {strings.NewReader(strings.Replace(good, `"version": 1`, `"version": 2`, 1)), "it is of version 2, and this program knows version 1; use the program that wrote it, or a newer one"},
		"a version's text": {strings.NewReader(strings.Replace(good, `"version": 1`, `"version": "1"`, 1)), "its version is no number"},
		"a count's text":   {strings.NewReader(strings.Replace(good, `"read": 12353`, `"read": "many"`, 1)), "counts.read is a string"},
		"another mode":     {strings.NewReader(strings.Replace(good, `"mode": "run"`, `"mode": "walk"`, 1)), `its mode is "walk"`},
		"no more":          {iotest.ErrReader(errors.New("the disk is gone")), "read the report: the disk is gone"},
		"too long":         {io.LimitReader(endless{}, maxRead+100), "longer than 64.0 MiB"},
	} {
		if _, err := Read(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, c.want)
		}
	}
}

// endless is a text without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestRead_GivesNullAsEmpty(t *testing.T) {
	t.Parallel()
	got, err := Read(strings.NewReader(`{"version":1,"migration":"m","mode":"run","counts":{},"totals":null,"reasons":null,"connectors":null,"calls":{"waitedSeconds":null},` +
		`"progress":null,"runs":null,"projection":{"byChunkTokens":null},"expiry":null,"store":{"warnings":null},"failures":null,"laterKey":1}`))
	if err != nil {
		t.Fatal(err)
	}
	want := New("m", "run")
	got.StartedAt = want.StartedAt
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
