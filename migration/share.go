package migration

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Share is the part of the traffic that new gets, in 1/10000: 20 % is 2000, and the
// smallest step, 0.01 %, is 1. It is an integer, because 0.1+0.2 must be 0.3 and
// because it is a number of buckets.
type Share int

// FullShare is 100 %.
const FullShare Share = 10000

// ParseShare reads a percentage from 0 to 100 with at most two decimals:
// "20" is 2000, "0.5" is 50, "99.99" is 9999.
func ParseShare(text string) (Share, error) {
	whole, fraction, dotted := strings.Cut(text, ".")
	if !digits(whole) || dotted && (!digits(fraction) || len(fraction) > 2) {
		return 0, fmt.Errorf("%q is not a percentage: write a number from 0 to 100 with at most two decimals, like 20 or 0.25", text)
	}
	fraction = (fraction + "00")[:2]
	share, err := strconv.Atoi(whole + fraction)
	if err != nil || Share(share) > FullShare {
		return 0, fmt.Errorf("%s is out of range: a percentage goes from 0 to 100", text)
	}
	return Share(share), nil
}

// String gives the shortest text that ParseShare reads back: 2000 is "20",
// 50 is "0.5".
func (s Share) String() string {
	text := fmt.Sprintf("%d.%02d", s/100, s%100)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// ShareOf is the share of a percentage, to the nearest that a share can be: the reverse
// of Percent.
func ShareOf(percent float64) Share { return Share(math.Round(100 * percent)) }

// Percent is the share in percent, for texts and graphs: 50 gives 0.5.
func (s Share) Percent() float64 { return float64(s) / 100 }

// Whole tells whether the share is a whole number of percents.
func (s Share) Whole() bool { return s%100 == 0 }

func digits(text string) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return text != ""
}
