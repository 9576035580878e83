package compare

import (
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Difference is a field in which new is the odd one out.
type Difference struct {
	Field string // "status", "header Cache-Control", "cookie session", "body", "json /items/[]/price"
	Cause Cause
	Text  string // one clause for people, in which the sides are "on new" and "on old": "301 to /a/ on new"
}

// Verdict is what one sample says.
type Verdict struct {
	Differences []Difference
	Noise       []string // the fields that vary by themselves
}

// SameDocument tells whether the three answers have the same status, so that the rest of
// them and their times can be compared.
func (v Verdict) SameDocument() bool {
	return !slices.ContainsFunc(v.Differences, func(d Difference) bool { return d.Field == statusField }) &&
		!slices.Contains(v.Noise, statusField)
}

const statusField = "status"

// oddity says which of the three values of a field is the odd one.
type oddity int

const (
	allEqual oddity = iota
	newIsOdd
	noisy
)

// odd classifies three values, see the documentation of the package.
func odd(old, new, again string) oddity {
	switch {
	case old == new && old == again:
		return allEqual
	case old == again:
		return newIsOdd
	}
	return noisy
}

// judgement collects what is found in one sample.
type judgement struct {
	*Sample
	verdict Verdict
	// explained are fields that a named cause has explained.
	explained map[string]bool
}

// Judge compares the answers of a sample. If the status differs, the answers are
// different documents, and nothing else of them is compared.
func Judge(s *Sample) Verdict {
	j := &judgement{Sample: s, explained: map[string]bool{}}
	switch odd(outcome(&s.Old), outcome(&s.New), outcome(&s.Again)) {
	case noisy:
		j.noise(statusField)
		return j.verdict
	case newIsOdd:
		cause, text := causeOfStatus(s)
		j.differs(statusField, cause, text)
		return j.verdict
	}
	for _, step := range []func(*judgement){
		(*judgement).redirect, (*judgement).doubleCORS, (*judgement).compression,
		(*judgement).cookies, (*judgement).headers, (*judgement).body,
	} {
		step(j)
	}
	return j.verdict
}

// outcome is the status, or the failure if there is none.
func outcome(a *Answer) string {
	if a.Status == 0 {
		return string(a.Failure)
	}
	return strconv.Itoa(a.Status)
}

func (j *judgement) noise(field string) {
	if !slices.Contains(j.verdict.Noise, field) {
		j.verdict.Noise = append(j.verdict.Noise, field)
	}
}

func (j *judgement) differs(field string, cause Cause, text string) {
	j.verdict.Differences = append(j.verdict.Differences, Difference{field, cause, text})
}

// compare adds the field with the oddity of its three values. The text is for the case
// that new is odd.
func (j *judgement) compare(field string, of func(*Answer) string, cause Cause, text func() string) {
	if j.explained[field] {
		return
	}
	switch odd(of(&j.Old), of(&j.New), of(&j.Again)) {
	case noisy:
		j.noise(field)
	case newIsOdd:
		j.differs(field, cause, text())
	case allEqual:
	}
}

// Confirm keeps the differences that a second look at the same request has found too. The
// others, and the noise of both, are noise.
func Confirm(first, second Verdict) Verdict {
	var both Verdict
	noise := slices.Concat(first.Noise, second.Noise)
	for _, d := range first.Differences {
		if slices.ContainsFunc(second.Differences, func(other Difference) bool { return other.Field == d.Field }) {
			both.Differences = append(both.Differences, d)
			continue
		}
		noise = append(noise, d.Field)
	}
	slices.Sort(noise)
	for _, field := range slices.Compact(noise) {
		confirmed := slices.ContainsFunc(both.Differences, func(d Difference) bool { return d.Field == field })
		if !confirmed {
			both.Noise = append(both.Noise, field)
		}
	}
	return both
}

// Again judges a second look: new and old were asked once more.
func Again(s *Sample, new, old Answer) Verdict {
	second := s.second(new, old)
	return Judge(&second)
}

// plainBody is the body after decompression. A body that does not decompress, or was cut,
// stays as it is.
func plainBody(a *Answer) []byte {
	if !strings.EqualFold(a.Header.Get("Content-Encoding"), "gzip") {
		return a.Body
	}
	reader, err := gzip.NewReader(bytes.NewReader(a.Body))
	if err != nil {
		return a.Body
	}
	plain, err := io.ReadAll(io.LimitReader(reader, 8*MaxBody))
	if err != nil && !a.Cut {
		return a.Body
	}
	return plain
}
