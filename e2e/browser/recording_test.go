package browser

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// TestRecordingOfTheDemo: the picture of the README plays in a browser, and who wants no
// motion sees its last screen.
func TestRecordingOfTheDemo(t *testing.T) {
	files := http.NewServeMux()
	files.HandleFunc("/demo.svg", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "../../docs/demo.svg") })
	files.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	server := httptest.NewServer(files)
	t.Cleanup(server.Close)
	b := newTab(t)
	const lastLineShown = `(() => {
		const screen = document.querySelector('.f').getBoundingClientRect(), lines = [...document.querySelectorAll('text')];
		const last = lines.at(-1).getBoundingClientRect(), cover = document.querySelector('.c').getBoundingClientRect();
		return last.bottom < screen.bottom && last.bottom <= cover.top + 1;
	})()`
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}})
	b.open(server.URL + "/demo.svg")
	b.await(lastLineShown)
	b.await(`document.getAnimations().length === 0`)
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "no-preference"}}})
	b.await(`document.getAnimations().length === 2`)
	get[bool](b, `document.getAnimations().forEach(a => { a.pause(); a.currentTime = 1 }) ?? true`)
	b.await(`!` + lastLineShown)
	get[bool](b, `document.getAnimations().forEach(a => { a.currentTime = a.effect.getComputedTiming().duration - 1 }) ?? true`)
	b.await(lastLineShown)
}
