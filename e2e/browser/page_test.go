package browser

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/golden"
)

// mixed is the list of states of all that the page shows, read at one moment. The state
// of a whole page is one.
const mixed = `(() => {
  const states = new Set([document.querySelector('.headline').textContent.replace('state ', '')]);
  for (const line of document.querySelectorAll('#rows tr:not(.space)')) {
    const cells = line.querySelectorAll('[data-f=cell]');
    states.add(parseFloat(cells[0].textContent).toString());
    states.add(parseFloat(cells[1].textContent).toString());
  }
  return [...states];
})()`

// TestThousandServices: two states a second; only the rows that fit are there; scroll,
// filter and keyboard find the others.
func TestThousandServices(t *testing.T) {
	t.Parallel()
	s := newSite(t, thousand())
	b := newTab(t)
	b.open(s.url())
	b.awaitLive()
	seen := map[string]bool{}
	for i := 0; i < 100 && len(seen) < 4; i++ {
		b.do(script("scrollTo(0, " + []string{"0", "9000", "20000"}[i%3] + ")"))
		states := get[[]string](b, mixed)
		require.Len(t, states, 1, "parts of two states")
		seen[states[0]] = true
		time.Sleep(50 * time.Millisecond)
	}
	require.GreaterOrEqual(t, len(seen), 4, "it is live")
	require.Less(t, get[int](b, `document.querySelectorAll('#rows tr').length`), 80)
	require.Equal(t, "1001", get[string](b, `document.querySelector('#table').getAttribute('aria-rowcount')`))

	b.do(script(`scrollTo(0, document.querySelector('#wide').getBoundingClientRect().bottom + scrollY - innerHeight)`))
	b.await(`[...document.querySelectorAll('#rows a')].some((a) => a.textContent === 's0999')`)

	b.do(script(`document.activeElement.blur()`), chromedp.KeyEvent("/"))
	require.Equal(t, "filter", get[string](b, `document.activeElement.id`))
	b.do(script(`document.activeElement.value = ''`), chromedp.KeyEvent("s050 EXAMPLE"))
	b.await(`document.querySelector('#counted').textContent === '10 of 1000 services'`)
	require.Contains(t, get[string](b, `location.search`), "filter=s050")
	b.await(`document.querySelectorAll('#rows a').length === 10`)
	b.do(script(`document.querySelector('#rows a').focus()`), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown))
	state := get[string](b, `document.querySelector('.headline').textContent`)
	b.await(`document.querySelector('.headline').textContent !== ` + quoted(state))
	require.Equal(t, "s0502", get[string](b, `document.activeElement.textContent`), "the focus stays while states change")
	b.do(script(`filter.value = ''; filter.dispatchEvent(new Event('input'))`), chromedp.Click(chromedp.CSS("#person")))
	b.await(`document.querySelector('#counted').textContent === '2 of 1000 services'`)
	b.await(`document.querySelectorAll('#rows .person').length === 2`)
}

// TestExplain: one service, and the form.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := newSite(t, thousand())
	b := newTab(t)
	b.open(s.url())
	b.awaitLive()
	b.do(chromedp.Click(chromedp.CSS("#rows a")), chromedp.WaitVisible(chromedp.CSS("#live figure")))
	b.awaitLive()
	require.Equal(t, 4, get[int](b, `document.querySelectorAll('#live figure svg[role=img]').length`))
	text := get[string](b, `document.querySelector('#live').innerText`)
	for _, want := range []string{"alice (kubectl-edit)", "web/shop-legacy", "server-alias", "points at the proxy", "600 requests", "the step to 50 %"} {
		require.Contains(t, text, want)
	}
	require.Equal(t, "s0000.example.com", get[string](b, `document.querySelector('#host').value`))
	b.do(chromedp.SendKeys(chromedp.CSS("#headers"), "X-Side: new"), chromedp.Click(chromedp.CSS("#ask button")))
	b.await(`document.querySelector('#answer').innerText.includes('header_rule[0]')`)
	require.Contains(t, get[string](b, `document.querySelector('#answer').innerText`), "Side: new")
	state := get[string](b, `document.querySelector('.headline').textContent`)
	b.await(`document.querySelector('.headline').textContent !== ` + quoted(state))
	require.Equal(t, "X-Side: new", get[string](b, `document.querySelector('#headers').value`), "what is typed stays")
	b.do(chromedp.SendKeys(chromedp.CSS("#ip"), "<b>x"), chromedp.Click(chromedp.CSS("#ask button")))
	b.await(`document.querySelector('#answer').innerText.includes('<b>x')`)
}

// TestConnectionLost: the page says since when it knows nothing, and goes on by itself.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	s := newSite(t, thousand())
	b := newTab(t)
	b.open(s.url())
	b.awaitLive()
	b.expect(true)
	s.stop()
	b.await(`/^Connection lost since \d\d:\d\d:\d\dZ, trying again\. What is shown is of \d\d:\d\d:\d\dZ\.$/.test(document.querySelector('#conn').textContent)`)
	require.Len(t, get[[]string](b, mixed), 1)
	last := get[string](b, `document.querySelector('.headline').textContent`)
	s.start()
	b.awaitLive()
	b.await(`document.querySelector('.headline').textContent !== ` + quoted(last))
	require.Len(t, get[[]string](b, mixed), 1)
}

// TestHostileNames: a name is text, whatever it looks like.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	const evil = `"><img src=x onerror=document.title='hacked'><script>document.title='hacked'</script>'&amp; ../`
	s := newSite(t, &story{names: []string{evil, "javascript:alert(1)", "zz"}})
	b := newTab(t)
	b.open(s.url())
	b.awaitLive()
	require.Equal(t, evil, get[string](b, `document.querySelector('#rows a').textContent`))
	b.do(chromedp.Click(chromedp.CSS("#rows a")), chromedp.WaitVisible(chromedp.CSS("#live figure")))
	b.awaitLive()
	require.Contains(t, get[string](b, `document.querySelector('#live').innerText`), evil)
	require.NotEqual(t, "hacked", get[string](b, `document.title`))
	require.Zero(t, get[int](b, `document.querySelectorAll('img').length`))
}

// TestForeignName: a website cannot read the page by a name that it points here.
func TestForeignName(t *testing.T) {
	t.Parallel()
	s := newSite(t, thousand())
	b := newTab(t)
	b.expect(true)
	_, port, _ := strings.Cut(s.address, ":")
	b.open("http://evil.example:" + port + "/")
	require.Contains(t, get[string](b, `document.body.innerText`), "this page answers to its own address only")
	require.Equal(t, 421, get[int](b, `performance.getEntriesByType('navigation')[0].responseStatus`))
	require.Zero(t, s.from.n.Load())
}

// TestWithoutScript: the server's page is complete.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	s := newSite(t, thousand())
	b := newTab(t)
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.open(s.url())
	b.do(chromedp.WaitVisible(chromedp.CSS("#rows")))
	require.Equal(t, 100, get[int](b, `document.querySelectorAll('#rows tr').length`))
	b.do(chromedp.Click(`//a[text()="More services"]`))
	b.do(chromedp.WaitVisible(`//a[text()="s0100"]`))
}

// named are the roles whose nodes need a name that a screen reader can say.
var named = map[string]bool{
	"button": true, "link": true, "textbox": true, "searchbox": true, "checkbox": true, "region": true, "image": true, "img": true,
	"columnheader": true, "rowheader": true, "heading": true, "RootWebArea": true,
}

func (b *tab) checkAccessible() {
	b.t.Helper()
	tree := call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes
	checked := 0
	for _, node := range tree {
		if node.Ignored || node.Role == nil || !named[strings.Trim(string(node.Role.Value), `"`)] {
			continue
		}
		checked++
		require.NotNil(b.t, node.Name, "%s", node.Role.Value)
		require.NotEqual(b.t, `""`, string(node.Name.Value), "a %s has no name", node.Role.Value)
	}
	require.Greater(b.t, checked, 15)
}

// contrast is the lowest contrast of text with its background, by the formula of WCAG 2.
const contrast = `(() => {
  const light = (color) => {
    const parts = color.match(/[\d.]+/g).slice(0, 3).map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (color !== 'rgba(0, 0, 0, 0)') return color;
    }
    return 'rgb(255, 255, 255)';
  };
  let lowest = 21, where = '';
  for (const node of document.querySelectorAll('body *')) {
    if (![...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !node.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < lowest) [lowest, where] = [ratio, node.outerHTML.slice(0, 200)];
  }
  return lowest >= 4.5 ? '' : lowest + ' ' + where;
})()`

// TestLooks: light and dark, wide and narrow; every control has a name, all text has
// contrast. With -update it makes the screenshots of the documents.
func TestLooks(t *testing.T) {
	t.Parallel()
	s := newSite(t, &story{fixed: true, names: []string{"shop", "account", "catalog", "search", "static"}})
	b := newTab(t)
	for _, scheme := range []string{"light", "dark"} {
		call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		for name, path := range map[string]string{"light": "", "dark": "?service=shop"} {
			b.open(s.url() + path)
			b.awaitLive()
			b.checkAccessible()
			require.Empty(t, get[string](b, contrast), "%s %q", scheme, path)
			if name == scheme {
				b.shoot("../../docs/page-" + name + ".png")
			}
		}
	}
	b.do(chromedp.EmulateViewport(390, 800))
	b.open(s.url())
	b.awaitLive()
	require.True(t, get[bool](b, `document.documentElement.scrollWidth <= innerWidth`), "a narrow window scrolls the table, not the page")
}

// shoot writes a screenshot of the whole page with -update.
func (b *tab) shoot(file string) {
	b.t.Helper()
	if !golden.Updating() {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(file, small(b.t, picture), 0o644))
}

// small is a picture with the 256 colors that it has most of, a third of the size.
func small(t *testing.T, picture []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	size := full.Bounds()
	count := map[color.Color]int{}
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			count[full.At(x, y)]++
		}
	}
	palette := color.Palette(slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] }))
	drawn := image.NewPaletted(size, palette[:min(len(palette), 256)])
	draw.Draw(drawn, size, full, size.Min, draw.Src)
	var packed bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	require.NoError(t, encoder.Encode(&packed, drawn))
	return packed.Bytes()
}

// script is an expression whose value does not matter.
func script(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](expression)
}
