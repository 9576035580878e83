package accesslog

import (
	"bytes"
	"fmt"

	"github.com/migration-proxy/migration-proxy/migration"
)

// readToken reads the decision:
//
//	""                      no side was asked
//	"bucket/12/34"          the percentage or a user's hash chose bucket 1234
//	"new/header_rule[0]"    side/reason, with the rule that decided
//	"old/strategy"
//
// A bucket does not give the side, because the share that it was compared with
// may have changed. readTries finds it out from what nginx did then.
func (e *Event) readToken(token []byte) error {
	if len(token) == 0 {
		return nil
	}
	head, tail, found := bytes.Cut(token, []byte("/"))
	if !found {
		return fmt.Errorf("decision %q is not side/reason or bucket/NN/NN", token)
	}
	switch string(head) {
	case "bucket":
		return e.readBucket(tail)
	case "new":
		e.Decision = migration.New
	case "old":
		e.Decision = migration.Old
	default:
		return fmt.Errorf("decision %q names no side: want new/, old/ or bucket/", token)
	}
	e.Reason, e.Rule = reason(tail)
	return nil
}

func (e *Event) readBucket(tail []byte) error {
	high, low, found := bytes.Cut(tail, []byte("/"))
	hundreds, ok := number(high)
	ones, fine := number(low)
	if !found || !ok || !fine || hundreds > 99 || ones > 99 {
		return fmt.Errorf("decision bucket/%s is not bucket/00/00 to bucket/99/99", tail)
	}
	e.Reason, e.Bucket = ReasonBucket, migration.Bucket(hundreds*100+ones)
	return nil
}

// reasons are the reasons that a token may have.
var reasons = []migration.Code{
	migration.ReasonHeaderRule, migration.ReasonIPRule, migration.ReasonDirect, migration.ReasonStrategy,
	migration.ReasonDisabled, migration.ReasonTripped, migration.ReasonWeight, migration.ReasonUserHash, migration.ReasonCompare,
}

// reason reads "header_rule[0]" or "direct", as migration.Reason writes it.
func reason(text []byte) (migration.Code, int) {
	name, index, indexed := bytes.Cut(text, []byte("["))
	rule := -1
	if indexed {
		if n, ok := number(bytes.TrimSuffix(index, []byte("]"))); ok {
			rule = n
		}
	}
	for _, code := range reasons {
		if string(name) == string(code) {
			return code, rule
		}
	}
	return ReasonOther, rule
}
