package migration

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // images have no zone files

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// Window is a time of the day on some days of the week.
type Window struct {
	Days Days
	From Clock // the window contains this minute
	To   Clock // and not this one; before From it is a time of the next day
	Zone Zone
}

// Open tells whether the time is in the window.
func (w *Window) Open(now time.Time) bool {
	local := w.Zone.In(now)
	clock, today := Clock(local.Hour()*60+local.Minute()), local.Weekday()
	if w.From < w.To {
		return w.Days.Has(today) && clock >= w.From && clock < w.To
	}
	yesterday := (today + 6) % 7
	return w.Days.Has(today) && clock >= w.From || w.Days.Has(yesterday) && clock < w.To
}

// String describes the window, as in "mon-fri 09:00-16:00 Europe/Berlin".
func (w *Window) String() string {
	return fmt.Sprintf("%s %s-%s %s", w.Days, w.From, w.To, w.Zone)
}

// Days is a set of days of the week; bit 0 is Sunday, as in time.Weekday.
type Days uint8

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseDays reads "mon-fri", "sat,sun" or "mon-wed,fri". A range may go over the end of
// the week.
func ParseDays(text string) (Days, error) {
	var days Days
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := slices.Index(dayNames, first), slices.Index(dayNames, last)
		if from < 0 || to < 0 {
			return 0, fmt.Errorf("%s are not days of the week: write them like mon-fri or sat,sun", excerpt.Quoted(text))
		}
		for day := from; ; day = (day + 1) % 7 {
			days |= 1 << day
			if day == to {
				break
			}
		}
	}
	return days, nil
}

// Has tells whether the day is in the set.
func (d Days) Has(day time.Weekday) bool { return d&(1<<day) != 0 }

// String gives a text that ParseDays reads back, as in "mon,tue,wed".
func (d Days) String() string {
	if d == 0b0111110 {
		return "mon-fri"
	}
	var names []string
	for day, name := range dayNames {
		if d.Has(time.Weekday(day)) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Clock is a time of the day in minutes since midnight.
type Clock int

var clockPattern = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

// ParseClock reads "09:00".
func ParseClock(text string) (Clock, error) {
	if !clockPattern.MatchString(text) {
		return 0, fmt.Errorf("%s is not a time of the day: write it like 09:00, from 00:00 to 23:59", excerpt.Quoted(text))
	}
	at, err := time.Parse("15:04", text)
	return Clock(at.Hour()*60 + at.Minute()), err
}

// String gives the text that ParseClock reads.
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", c/60, c%60) }

// Zone is a time zone, by default UTC.
type Zone struct{ location *time.Location }

// ParseZone reads a name of the time zone database, such as Europe/Berlin.
func ParseZone(name string) (Zone, error) {
	location, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return Zone{}, fmt.Errorf("%s is not a time zone: write a name like Europe/Berlin, America/New_York or UTC", excerpt.Quoted(name))
	}
	return Zone{location}, nil
}

// In gives the time in the zone.
func (z Zone) In(t time.Time) time.Time {
	if z.location == nil {
		return t.UTC()
	}
	return t.In(z.location)
}

// String gives the name of the zone.
func (z Zone) String() string {
	if z.location == nil {
		return "UTC"
	}
	return z.location.String()
}

// MarshalText gives the name of the zone, so that it counts in the digest of a table.
func (z Zone) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// Freeze is a time without a step up of any ramp.
type Freeze struct{ From, Until time.Time } // contains From, not Until

// ParseFreeze reads "2026-12-20/2027-01-03", which are whole days of UTC and contains
// both, or two times with an offset, as in "2026-12-20T18:00:00+01:00/2027-01-04T08:00:00+01:00".
func ParseFreeze(text string) (Freeze, error) {
	first, last, _ := strings.Cut(text, "/")
	from, err := parseDay(first, 0)
	until, untilErr := parseDay(last, 1)
	if cmp.Or(err, untilErr) != nil {
		return Freeze{}, fmt.Errorf("%s is not a time: write two days like 2026-12-20/2027-01-03, or two times like 2026-12-20T18:00:00+01:00", excerpt.Quoted(text))
	}
	if !until.After(from) {
		return Freeze{}, fmt.Errorf("%s ends before it begins", excerpt.Quoted(text))
	}
	return Freeze{from, until}, nil
}

// parseDay reads a day, and gives its first moment or that of a later day; or a time.
func parseDay(text string, later int) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, later), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	return at.UTC(), err
}

// Contains tells whether the time is in the freeze.
func (f Freeze) Contains(now time.Time) bool { return !now.Before(f.From) && now.Before(f.Until) }
