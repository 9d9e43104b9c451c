package cli

import (
	"bytes"
	"context"
	"fmt"
	"image"
	_ "image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/redstart-go/redstart/redstarttest"
)

// browser starts a Chromium of the test's own and returns the context of its one tab, whose events are heard.
func browser(t *testing.T, heard func(event any)) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("REDSTART_TEST_REQUIRE") == "1" {
			t.Fatal("needs chromium")
		}
		t.Skip("needs chromium")
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), // and a profile of its own, which it removes
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true))
	tab, stopTab := chromedp.NewContext(alloc, chromedp.WithListener(heard))
	if err := chromedp.Do(tab); err != nil { // the first call starts it, and must not carry a deadline
		t.Fatal(err)
	}
	bounded, stop := context.WithTimeout(tab, 2*time.Minute)
	t.Cleanup(func() {
		stop()
		if err := chromedp.Cancel(tab); err != nil {
			t.Logf("end chromium: %v", err)
		}
		stopTab()
		stopAlloc() // waits for its end
	})
	return bounded
}

// complaints collects what a page should never do: errors, warnings, and asking for anything but itself.
type complaints struct {
	mu   sync.Mutex
	said []string
}

func (c *complaints) hear(ev any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		c.said = append(c.said, "exception: "+e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		c.said = append(c.said, fmt.Sprintf("console: %s %v", e.Type, e.Args))
	case *log.EventEntryAdded:
		c.said = append(c.said, fmt.Sprintf("log: %s %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, "file:") && !strings.HasPrefix(u, "data:") {
			c.said = append(c.said, "fetches "+u)
		}
	}
}

// drawn is what the page says of one of its pictures.
type drawn struct {
	Title         string
	Width, Height float64 // of the box on the page
	Marks         int     // shapes with an area and a colour
	Outside       []string
	Overlaps      []string
}

const inspectPictures = `[...document.querySelectorAll('figure')].map(f => {
	const svg = f.querySelector('svg'), box = svg.getBoundingClientRect();
	const visible = e => { const c = getComputedStyle(e).fill; return c !== 'none' && c !== 'rgba(0, 0, 0, 0)' };
	const marks = [...svg.querySelectorAll('rect, circle')].filter(e => {
		const b = e.getBBox(); return b.width > 0 && b.height > 0 && visible(e) });
	const texts = [...svg.querySelectorAll('text')].map(e => ({ t: e.textContent, r: e.getBoundingClientRect() }));
	const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 3 || b.bottom <= a.top + 3;
	const overlaps = [];
	texts.forEach((a, i) => texts.slice(i + 1).forEach(b => { if (!apart(a.r, b.r)) overlaps.push(a.t + ' on ' + b.t) }));
	return { Title: f.querySelector('h2').textContent, Width: box.width, Height: box.height, Marks: marks.length,
		Outside: texts.filter(({ r }) => r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1).map(x => x.t),
		Overlaps: overlaps };
})`

// contrasts gives, for each kind of text, the ratio of its colour's luminance to the page's (WCAG).
const contrasts = `(() => {
	const lum = c => { const [r, g, b] = c.match(/[\d.]+/g).map(Number).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
		return .2126 * r + .7152 * g + .0722 * b };
	const paper = lum(getComputedStyle(document.body).backgroundColor);
	const out = { paper };
	for (const [s, p] of [['h1', 'color'], ['figcaption', 'color'], ['.finding', 'color'], ['td.bad', 'color'], ['td.good', 'color'], ['svg .axis', 'fill'], ['svg .value', 'fill'], ['svg .strong', 'fill']]) {
		const l = lum(getComputedStyle(document.querySelector(s))[p]);
		out[s] = (Math.max(l, paper) + .05) / (Math.min(l, paper) + .05);
	}
	return out;
})()`

// TestReportInBrowser opens a report as a browser shows it, in light and dark. With REDSTART_TEST_SCREENSHOTS=DIR it leaves
// the screenshots there.
func TestReportInBrowser(t *testing.T) {
	var errs complaints
	tab := browser(t, errs.hear)
	dir := t.TempDir()
	page := filepath.Join(dir, "report.html")
	var stdout, stderr bytes.Buffer
	// Everything that the page can show; without a redis-server there is no fault to see.
	args := []string{"lab", "--requests", "1000", "--near", "--refresh", "--fault", "kill", "--report", page}
	drawings := 29
	if _, err := redstarttest.Find(); err != nil {
		drawings = 28
	}
	if code := Main(args, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	shots := os.Getenv("REDSTART_TEST_SCREENSHOTS")
	if shots == "" {
		shots = dir
	}
	pictures := map[string]int{}
	for _, scheme := range []string{"light", "dark"} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		err := chromedp.Do(tab,
			chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
				_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, media)
				return err
			}),
			chromedp.EmulateViewport(1100, 900),
			chromedp.Navigate("file://"+page),
			chromedp.WaitReady(chromedp.CSS("footer")))
		if err != nil {
			t.Fatal(err)
		}
		figures := evaluate(tab, t, chromedp.Evaluate[[]drawn](inspectPictures))
		contrast := evaluate(tab, t, chromedp.Evaluate[map[string]float64](contrasts))
		shot := evaluate(tab, t, chromedp.FullScreenshot(100))
		if len(figures) != drawings {
			t.Fatalf("%s: %d pictures", scheme, len(figures))
		}
		for _, f := range figures {
			if f.Width < 200 || f.Height < 90 || f.Marks < 2 {
				t.Errorf("%s: %q is not drawn: %+v", scheme, f.Title, f)
			}
			if len(f.Outside) > 0 || len(f.Overlaps) > 0 {
				t.Errorf("%s: %q: texts cut off %q, on each other %q", scheme, f.Title, f.Outside, f.Overlaps)
			}
		}
		if dark := contrast["paper"] < 0.1; dark != (scheme == "dark") {
			t.Errorf("%s: the page has a luminance of %.2f", scheme, contrast["paper"])
		}
		delete(contrast, "paper")
		for what, ratio := range contrast {
			if ratio < 4.0 {
				t.Errorf("%s: %s has a contrast of only %.1f", scheme, what, ratio)
			}
		}
		img, _, err := image.Decode(bytes.NewReader(shot))
		if err != nil {
			t.Fatal(err)
		}
		pictures[scheme] = colours256(img)
		if pictures[scheme] < 20 {
			t.Errorf("%s: a screenshot of %d colours", scheme, pictures[scheme])
		}
		if err := os.WriteFile(filepath.Join(shots, "lab-"+scheme+".png"), shot, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	errs.mu.Lock()
	defer errs.mu.Unlock()
	for _, s := range errs.said {
		t.Error(s)
	}
}

func evaluate[T any](tab context.Context, t *testing.T, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(tab, a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// colours256 counts the distinct colours of an image, to eight bits a channel.
func colours256(img image.Image) int {
	seen := map[[3]uint8]bool{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y += 2 {
		for x := b.Min.X; x < b.Max.X; x += 2 {
			r, g, bl, _ := img.At(x, y).RGBA()
			seen[[3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(bl >> 8)}] = true //nolint:gosec // eight bits are left
		}
	}
	return len(seen)
}
