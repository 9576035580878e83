package config

import (
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/migration"
)

// The leaf types of ramps.
type (
	longTime    time.Duration
	noData      time.Duration
	times       float64
	extra       float64
	minRequests int
	checkName   string
	checkURL    string
	backTo      string
)

const (
	backToPrevious backTo = "previous"
	backToZero     backTo = "zero"
)

// rampLeaves has the scalar types of ramps; leaves takes them in.
var rampLeaves = map[reflect.Type]leaf{
	reflect.TypeFor[longTime](): textLeaf(parseLongTime, `^([0-9.]+(s|m|h))+$`),
	reflect.TypeFor[noData]():   textLeaf(parseNoData, `^(wait|([0-9.]+(s|m|h))+)$`),
	reflect.TypeFor[times](): {
		tags: []string{"!!int", "!!float"}, want: "a number", parse: parser(parseTimes),
		schema: map[string]any{"type": "number", "minimum": 1, "maximum": 100},
	},
	reflect.TypeFor[extra](): {
		tags: []string{"!!int", "!!float"}, want: "a number", parse: parser(parseExtra),
		schema: map[string]any{"type": "number", "minimum": 0, "maximum": 100},
	},
	reflect.TypeFor[minRequests]():      integer[minRequests](1, 100000000),
	reflect.TypeFor[checkName]():        textLeaf(parseCheckName, checkNamePattern.String()),
	reflect.TypeFor[checkURL]():         textLeaf(parseCheckURL, `^https?://[!-~]+$`),
	reflect.TypeFor[backTo]():           enum(backToPrevious, backToZero),
	reflect.TypeFor[migration.Days]():   textLeaf(migration.ParseDays, `^[a-z]{3}([,-][a-z]{3})*$`),
	reflect.TypeFor[migration.Clock]():  textLeaf(migration.ParseClock, `^([01][0-9]|2[0-3]):[0-5][0-9]$`),
	reflect.TypeFor[migration.Zone]():   textLeaf(migration.ParseZone, `^[A-Za-z0-9+_-]+(/[A-Za-z0-9+_-]+)*$`),
	reflect.TypeFor[migration.Freeze](): textLeaf(migration.ParseFreeze, `^[0-9TZ:.+-]+/[0-9TZ:.+-]+$`),
}

// longest is the longest hold: 30 days.
const longest = 720 * time.Hour

func parseLongTime(text string) (longTime, error) {
	duration, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is not a duration: write it like 90s, 30m or 2h", excerpt.Quoted(text))
	case duration < time.Second || duration > longest:
		return 0, fmt.Errorf("%s is out of range: use 1s to 720h", excerpt.Quoted(text))
	case duration%time.Second != 0:
		return 0, fmt.Errorf("%s is too fine: the smallest step is 1s", excerpt.Quoted(text))
	}
	return longTime(duration), nil
}

func parseNoData(text string) (noData, error) {
	if text == "wait" {
		return 0, nil
	}
	duration, err := parseLongTime(text)
	if err != nil {
		return 0, fmt.Errorf("%w; or write wait", err)
	}
	return noData(duration), nil
}

var timesPattern = regexp.MustCompile(`^[1-9][0-9]{0,2}(\.[0-9]{1,3})?$`)

func parseTimes(text string) (times, error) {
	value, err := strconv.ParseFloat(text, 64)
	if !timesPattern.MatchString(text) || err != nil || value > 100 {
		return 0, fmt.Errorf("%s is not a factor: write a number from 1 to 100, like 1.5", text)
	}
	return times(value), nil
}

func parseExtra(text string) (extra, error) {
	share, err := parsePercentage(text)
	return extra(share.Percent()), err
}

var checkNamePattern = regexp.MustCompile(`^[ -~]{1,64}$`)

func parseCheckName(text string) (checkName, error) {
	if !checkNamePattern.MatchString(text) {
		return "", fmt.Errorf("%s is not a name of a check: use 1 to 64 printable ASCII characters", excerpt.Quoted(text))
	}
	return checkName(text), nil
}

func parseCheckURL(text string) (checkURL, error) {
	address, err := url.Parse(text)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Hostname() == "" || len(text) > 1024 {
		return "", fmt.Errorf("%s is not an address to ask: write http://HOST/PATH or https://HOST/PATH", excerpt.Quoted(text))
	}
	if address.User != nil {
		return "", fmt.Errorf("%s has a password, which everybody who may read the config would read; leave it out", excerpt.Quoted(address.Redacted()))
	}
	return checkURL(text), nil
}
