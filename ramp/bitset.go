package ramp

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Bitset is a set of the 10,000 buckets: bit b%8 of byte b/8. It may be shorter.
type Bitset []byte

const bitsetBytes = (int(migration.FullShare) + 7) / 8

// Has tells whether the bucket is in the set.
func (b Bitset) Has(bucket int) bool {
	return bucket >= 0 && bucket/8 < len(b) && b[bucket/8]&(1<<(bucket%8)) != 0
}

// Add puts a bucket into the set.
func (b *Bitset) Add(bucket int) {
	if *b == nil {
		*b = make(Bitset, bitsetBytes)
	}
	(*b)[bucket/8] |= 1 << (bucket % 8)
}

// Union puts another set into this one.
func (b *Bitset) Union(other []byte) {
	if *b == nil {
		*b = make(Bitset, bitsetBytes)
	}
	for i := range min(len(*b), len(other)) {
		(*b)[i] |= other[i]
	}
}

// all gives the buckets of the set.
func (b Bitset) all() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, one := range b {
			for ; one != 0; one &= one - 1 {
				if !yield(8*i + bits.TrailingZeros8(one)) {
					return
				}
			}
		}
	}
}

// Len is the number of buckets in the set.
func (b Bitset) Len() int {
	n := 0
	for _, one := range b {
		n += bits.OnesCount8(one)
	}
	return n
}

func (b Bitset) clone() Bitset { return slices.Clone(b) }

// MarshalText writes the lengths of the runs of buckets that are not and that are in
// the set, or the bits themselves where these are shorter.
func (b Bitset) MarshalText() ([]byte, error) {
	var runs []byte
	in, from := false, 0
	for bucket := range int(migration.FullShare) {
		if b.Has(bucket) != in {
			runs = binary.AppendUvarint(runs, uint64(bucket-from))
			in, from = !in, bucket
		}
	}
	runs = binary.AppendUvarint(runs, uint64(int(migration.FullShare)-from))
	if len(runs) >= len(b) && len(b) == bitsetBytes {
		return append([]byte("bits "), base64.StdEncoding.EncodeToString(b)...), nil
	}
	return append([]byte("runs "), base64.StdEncoding.EncodeToString(runs)...), nil
}

// UnmarshalText reads what MarshalText wrote.
func (b *Bitset) UnmarshalText(text []byte) error {
	form, rest, _ := strings.Cut(string(text), " ")
	content, err := base64.StdEncoding.DecodeString(rest)
	switch {
	case err != nil:
		return fmt.Errorf("read a set of buckets: %w", err)
	case form == "bits" && len(content) == bitsetBytes:
		*b = content
		return nil
	case form == "runs":
		return b.readRuns(content)
	}
	return fmt.Errorf("read a set of buckets: %.20q is no such set", string(text))
}

func (b *Bitset) readRuns(content []byte) error {
	*b = nil
	at, in := 0, false
	for len(content) > 0 {
		length, size := binary.Uvarint(content)
		if size <= 0 || length > uint64(int(migration.FullShare)-at) {
			return errors.New("read a set of buckets: a run is too long")
		}
		for i := range int(length) {
			if in {
				b.Add(at + i)
			}
		}
		content, at, in = content[size:], at+int(length), !in
	}
	return nil
}
