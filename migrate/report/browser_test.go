package report

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "folder to keep what the browser shows in")

// chromium returns the browser's path. Only in CI it must be there.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no chromium, chromium-browser or google-chrome; CI must have one")
	}
	t.Skip("no chromium, chromium-browser or google-chrome")
	return ""
}

// browser starts a browser that ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	// Its sandbox works neither as root nor in most containers; the pages are ours.
	ctx, end := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.DisableGPU, chromedp.NoSandbox))
	t.Cleanup(end)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("end the browser: %v", err)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}

// seenBy is what a browser tells of a page.
type seenBy struct {
	mu       sync.Mutex
	requests []string
	trouble  []string
}

func (s *seenBy) listen(event any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		s.requests = append(s.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		s.trouble = append(s.trouble, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		s.trouble = append(s.trouble, fmt.Sprintf("console.%s", e.Type))
	case *log.EventEntryAdded:
		s.trouble = append(s.trouble, fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text))
	}
}

// view is one way to look at a page.
type view struct {
	scheme        string
	width, height int64
}

var views = []view{{"light", 1280, 900}, {"dark", 360, 780}, {"dark", 1280, 900}, {"light", 320, 640}}

// look opens a page in a tab of its own, calls do with it, and returns what the
// browser said meanwhile.
func look(t *testing.T, in context.Context, v view, url string, do func(tab context.Context)) *seenBy {
	t.Helper()
	s := new(seenBy)
	tab, end := chromedp.NewContext(in, chromedp.WithListener(s.listen))
	defer end()
	timed, stop := context.WithTimeout(tab, time.Minute)
	defer stop()
	var phone []chromedp.EmulateViewportOption
	if v.width < 500 {
		phone = append(phone, chromedp.EmulateMobile)
	}
	if err := chromedp.Do(tab, chromedp.EmulateViewport(v.width, v.height, phone...)); err != nil {
		t.Fatal(err)
	}
	scheme := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}}}
	if _, err := chromedp.Call(timed, emulation.SetEmulatedMedia, scheme); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(timed, chromedp.Navigate(url), chromedp.WaitReady(chromedp.CSS("footer"))); err != nil {
		t.Fatalf("look at %s, %s, %d wide: %v", url, v.scheme, v.width, err)
	}
	do(timed)
	if err := chromedp.Cancel(tab); err != nil {
		t.Errorf("close the tab: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s
}

// ask runs an action in a tab.
func ask[T any](t *testing.T, tab context.Context, action chromedp.Action[T]) T {
	t.Helper()
	answer, err := chromedp.Run(tab, action)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// contrasts measures each visible text against what lies behind it.
const contrasts = `(() => {
	const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1] };
	const light = c => { const f = c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2] };
	const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c } return [255, 255, 255, 1] };
	const low = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walk.nextNode();) {
		const e = n.parentElement;
		if (!n.data.trim() || e.closest('title,desc') || !e.checkVisibility()) continue;
		const style = getComputedStyle(e), color = parse(e instanceof SVGElement ? style.fill : style.color);
		const [a, b] = [light(color), light(behind(e))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) low.push(n.data.trim().slice(0, 30) + ': ' + ratio.toFixed(2));
	}
	// What is drawn needs 3 against what lies around it.
	for (const e of document.querySelectorAll('.mark,.curve,.event')) {
		const style = getComputedStyle(e), color = parse(e.matches('.mark') ? style.fill : style.stroke);
		const [a, b] = [light(color), light(behind(e.closest('svg.chart,svg').parentElement))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 3) low.push(e.getAttribute('class') + ': ' + ((a + 0.05) / (b + 0.05)).toFixed(2));
	}
	return [...new Set(low)];
})()`

// faults lists what makes a page hard to use without eyes or mouse.
const faults = `(() => {
	const bad = [], all = q => [...document.querySelectorAll(q)];
	if (all('h1').length !== 1) bad.push('h1: ' + all('h1').length);
	const ids = all('[id]').map(e => e.id);
	if (new Set(ids).size !== ids.length) bad.push('an id is there twice: ' + ids.filter((id, i) => ids.indexOf(id) !== i));
	for (const e of all('[aria-labelledby]')) for (const id of e.getAttribute('aria-labelledby').split(' ')) if (!document.getElementById(id)) bad.push('no element has the id ' + id);
	let level = 0;
	for (const h of all('h1,h2,h3,h4')) { const n = +h.tagName[1]; if (n > level + 1) bad.push('h' + level + ' is followed by h' + n); level = n }
	for (const s of all('section')) if (!s.querySelector('h2')) bad.push('a section without h2');
	for (const t of all('table')) {
		if (!t.caption || !t.caption.textContent.trim()) bad.push('a table without caption');
		for (const th of t.querySelectorAll('th')) if (!th.scope) bad.push('a th without scope: ' + th.textContent);
		const widths = [...t.rows].map(r => r.cells.length);
		if (new Set(widths).size > 1) bad.push('a table with rows of ' + [...new Set(widths)] + ' cells: ' + t.caption.textContent);
	}
	for (const s of all('svg')) {
		if (s.parentElement.closest('svg')) continue;
		if (s.getAttribute('aria-hidden') === 'true') continue;
		if (s.getAttribute('role') !== 'img' || !s.querySelector('title') || !s.querySelector('desc')) bad.push('a chart without title or description');
		if (s.tabIndex !== 0) bad.push('a chart that cannot be focused');
		const rest = s.parentElement;
		if (!s.matches('.stack') && !rest.querySelector('details table')) bad.push('a chart without a table behind it');
	}
	for (const s of all('.scroll')) if (s.tabIndex !== 0) bad.push('a wide table that cannot be focused');
	if (!document.documentElement.lang || !document.title) bad.push('no language or title');
	if (all('script,[onclick],[style],iframe,img,object,link:not([href="data:,"])').length) bad.push('a script, frame, image, style or link');
	return bad;
})()`

// marks counts what each chart draws.
const marks = `Object.fromEntries([...document.querySelectorAll('svg.chart')].map(s => [
	s.getAttribute('aria-labelledby').split('-')[0], s.querySelectorAll('.mark,.mark-line').length + s.querySelectorAll('.event').length * 1000]))`

// overflow lists what sticks out to the right of a page that is %d wide. (A phone's
// innerWidth grows with what sticks out.)
const overflow = `(() => {
	const wide = document.scrollingElement.scrollWidth;
	if (wide <= %[1]d && innerWidth === %[1]d) return [];
	return ['the page is ' + wide + ' wide'].concat([...document.querySelectorAll('body *')]
		.filter(e => !e.closest('.scroll table') && e.getBoundingClientRect().right > %[1]d + 1).slice(0, 5).map(e => e.tagName + '.' + e.getAttribute('class') + ' ' + e.textContent.trim().slice(0, 40)));
})()`

// writePage writes a report's page to a file and returns its address.
func writePage(t *testing.T, name string, r *Report, o HTMLOptions) (url string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := r.WriteHTML(f, o); err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}

// keep takes a screenshot of the whole page, where that is asked for.
func keep(t *testing.T, tab context.Context, name string) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	png := ask(t, tab, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPage_InABrowser(t *testing.T) {
	t.Parallel()
	in := browser(t)
	for _, c := range []struct {
		name  string
		r     *Report
		marks map[string]int
	}{
		// Of the expiry chart only what is not zero is a mark.
		{"dry-run", bigDryRun(), map[string]int{"stack": 5, "expiry": 11, "time": 6}},
		{"run", bigRun(), map[string]int{"stack": 6, "progress": 2 + 1000*throttlings(bigRun()), "waits": 4}},
		{"live", liveRun(), map[string]int{"stack": 6, "progress": 2 + 1000*throttlings(liveRun()), "waits": 4}},
		{"long", longTexts(), map[string]int{"stack": 6, "progress": 2 + 1000*throttlings(bigRun()), "waits": 4}},
		{"empty", func() *Report { r := New("acme", "dry-run"); r.FinishedAt = new(r.StartedAt); return r }(), map[string]int{}},
	} {
		o := HTMLOptions{}
		if c.name == "live" {
			o = HTMLOptions{Refresh: time.Hour, AsOf: c.r.StartedAt.Add(2 * time.Hour)}
		}
		url := writePage(t, c.name, c.r, o)
		for i, v := range views {
			if i > 1 && c.r.FinishedAt == nil {
				break // it looks like the one that has ended
			}
			var low, bad, wide, unfolded []string
			var drawn map[string]int
			said := look(t, in, v, url, func(tab context.Context) {
				low = ask(t, tab, chromedp.Evaluate[[]string](contrasts))
				bad = ask(t, tab, chromedp.Evaluate[[]string](faults))
				wide = ask(t, tab, chromedp.Evaluate[[]string](fmt.Sprintf(overflow, v.width)))
				drawn = ask(t, tab, chromedp.Evaluate[map[string]int](marks))
				keep(t, tab, fmt.Sprintf("%s-%s-%d", c.name, v.scheme, v.width))
				ask(t, tab, chromedp.Evaluate[int](`document.querySelectorAll('details').forEach(d => d.open = true), 0`))
				unfolded = ask(t, tab, chromedp.Evaluate[[]string](fmt.Sprintf(overflow, v.width)))
				if len(c.r.Failures) < 500 {
					keep(t, tab, fmt.Sprintf("%s-%s-%d-unfolded", c.name, v.scheme, v.width))
				}
			})
			id := fmt.Sprintf("%s, %s, %d wide", c.name, v.scheme, v.width)
			for what, list := range map[string][]string{"contrast is too low": low, "accessibility": bad, "overflow": wide, "overflow with all details open": unfolded, "console": said.trouble} {
				if len(list) > 0 {
					t.Errorf("%s: %s: %s", id, what, strings.Join(list, "; "))
				}
			}
			if len(said.requests) != 1 || said.requests[0] != url {
				t.Errorf("%s: got the requests %q, want the page alone", id, said.requests)
			}
			if got, want := encode(t, drawn), encode(t, c.marks); got != want {
				t.Errorf("%s: got the marks %s, want %s", id, got, want)
			}
		}
	}
}

// longTexts is a run whose texts are long and have no place to break at.
func longTexts() *Report {
	r := bigRun()
	long := strings.Repeat("W", 300)
	r.Migration, r.Store.Name, r.Warnings, r.StoppedBy, r.Error = long, long, []string{long}, "error", long
	r.Connectors[0].Connector, r.Connectors[0].Environment = long, long
	r.Runs = []RunState{{State: Died, LastError: long, Version: long, StartedAt: r.StartedAt, HeartbeatAt: r.StartedAt}}
	for i := range r.Failures[:20] {
		r.Failures[i] = Failure{Key: long, Connector: long, Reason: "refused", Detail: long, Subject: long}
	}
	return r
}

func throttlings(r *Report) (n int) {
	for i := 1; i < len(r.Progress); i++ {
		if r.Progress[i].Throttled > r.Progress[i-1].Throttled {
			n++
		}
	}
	return n
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPage_LoadsItselfAnew looks at a live page without touching it.
func TestPage_LoadsItselfAnew(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path)
		live := liveRun()
		live.Counts.Imported, live.Counts.Read = int64(len(asked)), int64(len(asked))
		if err := live.WriteHTML(w, HTMLOptions{Refresh: time.Second}); err != nil {
			t.Errorf("write the page: %v", err)
		}
	}))
	defer server.Close()
	said := look(t, browser(t), view{"light", 1280, 900}, server.URL+"/", func(tab context.Context) {
		ask(t, tab, chromedp.WaitVisible(chromedp.Search(`//dl//dd[normalize-space(text())="3"]`)))
	})
	if len(said.trouble) > 0 {
		t.Errorf("console: %q", said.trouble)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) < 3 || strings.Trim(strings.Join(asked, ""), "/") != "" {
		t.Errorf("the browser asked for %q, want the page alone, three times at least", asked)
	}
}

// TestPage_Prints looks at the page as paper shows it.
func TestPage_Prints(t *testing.T) {
	t.Parallel()
	in := browser(t)
	url := writePage(t, "printed", bigDryRun(), HTMLOptions{})
	var pdf []byte
	said := look(t, in, view{"dark", 1280, 900}, url, func(tab context.Context) {
		pdf = ask(t, tab, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize()))
		paper := emulation.SetEmulatedMediaParams{Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}
		if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, paper); err != nil {
			t.Fatal(err)
		}
		// A4 less the margins.
		ask(t, tab, chromedp.EmulateViewport(680, 1009))
		if low := ask(t, tab, chromedp.Evaluate[[]string](contrasts)); len(low) > 0 {
			t.Errorf("printed: contrast is too low: %s", strings.Join(low, "; "))
		}
		if wide := ask(t, tab, chromedp.Evaluate[[]string](fmt.Sprintf(overflow, 680))); len(wide) > 0 {
			t.Errorf("printed: overflow: %s", strings.Join(wide, "; "))
		}
		keep(t, tab, "printed")
	})
	if len(said.trouble) > 0 {
		t.Errorf("got %q", said.trouble)
	}
	if pages := strings.Count(string(pdf), "/Type /Page\n"); !strings.HasPrefix(string(pdf), "%PDF") || pages < 2 || pages > 6 {
		t.Errorf("got %d bytes with %d pages, want 2 to 6 pages: long lists are folded", len(pdf), pages)
	}
	if *screenshots != "" {
		if err := os.WriteFile(filepath.Join(*screenshots, "printed.pdf"), pdf, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
