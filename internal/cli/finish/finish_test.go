package finish_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/finish"
	clifinish "github.com/migration-proxy/migration-proxy/internal/cli/finish"
	"github.com/migration-proxy/migration-proxy/journal"
)

// items runs the command, and gives its items and its error.
func items(t *testing.T, f *rig) ([]finish.Item, error) {
	t.Helper()
	source, options := f.start(t)
	var text bytes.Buffer
	err := clifinish.Show(t.Context(), &text, source, options, clifinish.JSON)
	var document struct{ Items []finish.Item }
	require.NoError(t, json.Unmarshal(text.Bytes(), &document), text.String())
	return document.Items, err
}

// oneFault is a migration with one fault, and what the checklist says of it.
type oneFault struct {
	fault        func(*rig)
	item         string
	state        finish.State
	reason, does string
}

var faultCases = map[string]oneFault{
	"nothing": {},
	"share": {
		func(f *rig) { f.share = 50 }, finish.ItemShare, finish.NotDone, "sends 50 %", "migration-proxy update shop 100",
	},
	"since an hour": {func(f *rig) {
		f.entries = append(f.entries, journal.Entry{At: time.Now().Add(-2 * time.Hour), Kind: journal.Share, Service: "shop", To: "50"},
			journal.Entry{At: time.Now().Add(-time.Hour), Kind: journal.Share, Service: "shop", To: "100"})
	}, finish.ItemShare, finish.NotDone, "and not for 24h yet", "wait until "},
	"a fallback": {func(f *rig) {
		f.entries = append(f.entries, journal.Entry{At: time.Now().Add(-time.Hour), Kind: journal.FellBack, Service: "shop", What: "fell back to old"})
	}, finish.ItemQuiet, finish.NotDone, "shop fell back to old", "migration-proxy report shop"},
	"no certificate for the name": {
		func(f *rig) { f.names = []string{"shop.new.example"} }, finish.ItemCertificate, finish.NotDone, "not shop.example", "DNS-01",
	},
	"nobody trusts the certificate": {
		func(f *rig) { f.stranger = true }, finish.ItemCertificate, finish.NotDone, "unknown authority", "--ca-file",
	},
	"the certificate ends": {
		func(f *rig) { f.validity = 20 * 24 * time.Hour }, finish.ItemCertificate, finish.NotDone, "19 days", "renew it now",
	},
	"new does not know old_host": {func(f *rig) {
		known := f.answer
		f.answer = func(w http.ResponseWriter, host string) {
			if host == "shop.example" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			known(w, host)
		}
	}, finish.ItemAnswers, finish.NotDone, "2 of 2 paths: /: 404 under shop.example, 302 to https://shop.example/home under shop.new.example", "-o httproute"},
	"a header that only new_host has": {func(f *rig) {
		f.answer = func(w http.ResponseWriter, host string) {
			http.SetCookie(w, &http.Cookie{Name: "id", Value: strconv.Itoa(rand.Int()), Domain: host, Secure: host != "shop.example"})
			if host != "shop.example" {
				w.Header().Set("Cache-Control", "max-age=60")
			}
			fmt.Fprintf(w, `<p>%d</p><a href="https://%s/">home</a>`, rand.Int(), host)
		}
	}, finish.ItemAnswers, finish.NotDone, "/login: cookie id: Domain=shop.example under shop.example, Domain=shop.example; Secure under shop.new.example, Cache-Control missing under shop.example", "-o httproute"},
	"another page": {func(f *rig) {
		f.answer = func(w http.ResponseWriter, host string) { fmt.Fprintf(w, "<p>%d</p>", len(host)) }
	}, finish.ItemAnswers, finish.NotDone, "/: other lines under shop.example (1)", "-o httproute"},
	"a redirect to new_host": {func(f *rig) {
		f.answer = func(w http.ResponseWriter, _ string) {
			w.Header().Set("Location", "https://shop.new.example/home")
			w.WriteHeader(http.StatusFound)
		}
	}, finish.ItemTranslation, finish.NotDone, "redirects to https://shop.new.example/home", "X-Forwarded-Host"},
	"a cookie of new_host": {func(f *rig) {
		f.answer = func(w http.ResponseWriter, _ string) {
			http.SetCookie(w, &http.Cookie{Name: "s", Value: "1", Domain: "new.example"})
		}
	}, finish.ItemTranslation, finish.NotDone, "sets a cookie for domain new.example", "X-Forwarded-Host"},
	"links to new_host": {func(f *rig) {
		f.answer = func(w http.ResponseWriter, _ string) {
			fmt.Fprint(w, `<a href="https://shop.new.example/a"><a href="https://shop.new.example.org/"><img src=//SHOP.new.example>`)
		}
	}, finish.ItemTranslation, finish.NotDone, "2 links to shop.new.example", "X-Forwarded-Host"},
	"a long TTL": {
		func(f *rig) { f.zone[0] = "shop.example. 3600 IN CNAME lb.old.example." }, finish.ItemTTL, finish.NotDone, "is 1h", "lower it to 60 now, and change nothing else for 1h",
	},
	"a resolver": {
		func(f *rig) { f.resolver = true }, finish.ItemTTL, finish.Unknown, "is a resolver", "--dns-server",
	},
	"two owners": {func(f *rig) {
		f.zone = append(f.zone, `a-shop.example. 60 IN TXT "heritage=external-dns,external-dns/owner=new-cluster"`)
	}, finish.ItemOwner, finish.NotDone, "2 owners: new-cluster, old-cluster", "decide for one"},
}

// TestOneFault breaks one thing, and exactly that item is not ticked, with the way out.
func TestOneFault(t *testing.T) {
	t.Parallel()
	violated := map[string]bool{}
	for _, c := range faultCases {
		violated[c.item] = true
	}
	for name, c := range faultCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := healthy()
			if c.fault != nil {
				c.fault(f)
			}
			found, err := items(t, f)
			require.Len(t, found, 7)
			for _, item := range found {
				require.True(t, violated[item.ID], "no case violates %s", item.ID)
				if item.ID != c.item {
					require.Equal(t, finish.Done, item.State, "%+v", item)
					require.Empty(t, item.WayOut)
					continue
				}
				require.Equal(t, c.state, item.State, "%+v", item)
				require.Contains(t, item.Reason, c.reason)
				require.Contains(t, item.WayOut, c.does)
			}
			if c.fault == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, clifinish.ErrNotFinished)
		})
	}
}

// TestHandOver has the lines of the records, in the text for people.
func TestHandOver(t *testing.T) {
	t.Parallel()
	source, options := healthy().start(t)
	var text bytes.Buffer
	require.NoError(t, clifinish.Show(t.Context(), &text, source, options, clifinish.Table))
	for _, line := range []string{
		"shop (shop.example): 7 of 7 done",
		`cname-shop.example. 60 IN TXT "heritage=external-dns,external-dns/owner=NEW-OWNER,external-dns/resource=ingress/web/shop"`,
		"shop.example. 60 IN A 127.0.0.1",
		"old objects (ingress/web/shop)",
		"migration-proxy finish shop --watch",
		"migration-proxy report shop -o html > shop.html",
	} {
		require.Contains(t, text.String(), line)
	}
}

// TestNewIsNotReachable: nothing is said about new.
func TestNewIsNotReachable(t *testing.T) {
	t.Parallel()
	source, options := healthy().start(t)
	options.NewAddress = "127.0.0.1:1"
	var text bytes.Buffer
	require.ErrorIs(t, clifinish.Show(t.Context(), &text, source, options, clifinish.Table), clifinish.ErrNotFinished)
	require.Contains(t, text.String(), "4 of 7 done")
	require.Contains(t, text.String(), "[?] new has a certificate for shop.example: new was not asked: dial tcp 127.0.0.1:1")
}

// TestWatch ends when nothing has arrived for long enough.
func TestWatch(t *testing.T) {
	t.Parallel()
	f := healthy()
	f.lastServed = time.Now().Add(-25 * time.Hour)
	source, options := f.start(t)
	var text bytes.Buffer
	require.NoError(t, clifinish.Watch(t.Context(), &text, source, options, time.Hour))
	require.Contains(t, text.String(), "0 requests a minute at old, quiet since "+f.lastServed.UTC().Format("2006-01-02 15:04:05"))
	require.Contains(t, text.String(), "DNS: shop.example -> lb.old.example. -> 192.0.2.1")
	require.Contains(t, text.String(), "quiet for 24h0m0s: old may go")
}
