package migration

import (
	"encoding/binary"
	"strconv"
)

// Bucket is one of 10000 equal parts of all keys. A service's share is the number of
// buckets, counted from 0, that belong to new. So a larger share only adds users to
// new, and a smaller share only removes users from new.
type Bucket int

// High is the first of the two digits, base 100, by which nginx finds the bucket:
// bucket 1234 has the digits 12 and 34.
func (b Bucket) High() int { return int(b) / 100 }

// Low is the second digit of the bucket.
func (b Bucket) Low() int { return int(b) % 100 }

// BucketOf hashes a key exactly as the generated nginx configuration does: with two
// split_clients of a hundred slices each, the second one over LowKey.
func BucketOf(key string) Bucket {
	return Bucket(100*percentile(key) + percentile(LowKey(key)))
}

// StickyBucket reads the bucket of a sticky cookie from a Cookie header: the first
// cookie with exactly this name and a value of four digits. A client chooses its
// cookies, so any other value counts as no cookie.
func StickyBucket(header, name string) (Bucket, bool) {
	for value := range cookies(header, name) {
		number, err := strconv.ParseUint(value, 10, 16)
		if err == nil && len(value) == 4 {
			return Bucket(number), true
		}
	}
	return 0, false
}

// LowKey is the text whose hash gives the second digit of the bucket. It differs from
// the key so that the two digits are independent.
func LowKey(key string) string { return "low:" + key }

// percentile is nginx's split_clients with a hundred lines of 1 %: each slice has
// floor(100*0xffffffff/10000) hashes, and the last one has the rest. See
// src/http/modules/ngx_http_split_clients_module.c of nginx.
func percentile(key string) int {
	const width = 100 * 0xffffffff / 10000
	return min(int(murmur2(key)/width), 99)
}

// murmur2 is MurmurHash2 with 32 bits and seed 0, as in src/core/ngx_murmurhash.c of
// nginx. murmur2("") is 0.
func murmur2(key string) uint32 {
	const m = 0x5bd1e995
	data := []byte(key)
	h := uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data) * m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(data[0])) * m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
