package compare_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/migration-proxy/migration-proxy/compare"
)

// New forbids caching and writes the price as text. The time differs between the two
// answers of old as well, so it says nothing about new.
func ExampleJudge() {
	answer := func(cache, body string) compare.Answer {
		header := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {cache}}
		return compare.Answer{Status: 200, Header: header, Body: []byte(body)}
	}
	sample := &compare.Sample{
		Request: compare.Request{Method: "GET", Host: "shop.example.com", Target: "/catalog/4711"},
		NewHost: "shop.new.example.com",
		Old:     answer("max-age=60", `{"price": 12, "at": "12:00:00"}`),
		New:     answer("no-store", `{"price": "12", "at": "12:00:01"}`),
		Again:   answer("max-age=60", `{"price": 12, "at": "12:00:02"}`),
	}
	verdict := compare.Judge(sample)
	for _, difference := range verdict.Differences {
		fmt.Printf("%s (%s): %s\n", difference.Field, difference.Cause, difference.Text)
	}
	fmt.Println("noise:", verdict.Noise)
	// Output:
	// header Cache-Control (header): Cache-Control: no-store on new, max-age=60 on old
	// json /price (content): /price: string on new, number on old
	// noise: [json /at]
}

// New redirects each article of a catalog to the same path with a slash at the end. That is
// one finding, about the route of all these paths.
func ExampleTally_Report() {
	var tally compare.Tally
	for article := range 20 {
		path := fmt.Sprint("/catalog/", 4700+article)
		sample := &compare.Sample{
			Request: compare.Request{Method: "GET", Host: "shop.example.com", Target: path},
			NewHost: "shop.new.example.com",
			Old:     compare.Answer{Status: 200},
			New:     compare.Answer{Status: 301, Header: http.Header{"Location": {path + "/"}}},
			Again:   compare.Answer{Status: 200},
		}
		tally.Saw(compare.RouteKey("GET", path))
		tally.Add(sample, compare.Judge(sample), time.Date(2026, 1, 1, 12, 0, article, 0, time.UTC))
	}
	for _, finding := range tally.Report().Findings {
		fmt.Printf("%s, %d of %d samples: %s\nway out: %s\n", finding.Route, finding.Differs, finding.Samples, finding.Text, finding.Advice)
	}
	// Output:
	// GET /catalog/{n}, 20 of 20 samples: 301 to /catalog/{n}/ on new
	// way out: the path is matched as a prefix of whole segments on one side only, or a server adds the slash: add a path without it on new
}
