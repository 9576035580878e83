package history

import (
	"cmp"
	"slices"
)

// Add adds up the histories of a service in several replicas: rates are sums, failures
// and observed shares means weighted by rate, P99 the largest, the share the lowest.
func Add(replicas []Document) Document {
	var sum Document
	at := map[int64]int{} // the index of a minute in sum.Points
	for i, one := range replicas {
		if i == 0 || one.Since.Before(sum.Since) {
			sum.Since = one.Since
		}
		sum.Service, sum.IntervalSeconds, sum.Note = one.Service, one.IntervalSeconds, cmp.Or(sum.Note, one.Note)
		for _, p := range one.Points {
			minute := p.At.Unix()
			if found, ok := at[minute]; ok {
				sum.Points[found] = sum.Points[found].plus(p)
				continue
			}
			at[minute] = len(sum.Points)
			sum.Points = append(sum.Points, p)
		}
	}
	if len(sum.Points) > 0 {
		sum.Note = ""
	}
	slices.SortFunc(sum.Points, func(a, b Point) int { return a.At.Compare(b.At) })
	return sum
}

func (p Point) plus(o Point) Point {
	weight, other := p.Old.Rate+p.New.Rate, o.Old.Rate+o.New.Rate
	switch {
	case p.Observed == nil:
		p.Observed = o.Observed
	case o.Observed != nil && weight+other > 0:
		p.Observed = new((*p.Observed*weight + *o.Observed*other) / (weight + other))
	}
	p.Share, p.Old, p.New = min(p.Share, o.Share), p.Old.plus(o.Old), p.New.plus(o.New)
	return p
}

func (s Side) plus(o Side) Side {
	sum := Side{Rate: s.Rate + o.Rate, P99: max(s.P99, o.P99)}
	if sum.Rate > 0 {
		sum.Failed = (s.Failed*s.Rate + o.Failed*o.Rate) / sum.Rate
	}
	return sum
}
