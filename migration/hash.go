package migration

import "encoding/binary"

// Bucket is where a key falls among 10000 equal slices; a service's share is
// the number of slices, counted from 0, that belong to new. Raising the share
// therefore only adds to new, lowering it only takes away.
type Bucket int

// High and Low are the two digits, base 100, by which nginx finds the bucket:
// 1234 is 12 and 34.
func (b Bucket) High() int { return int(b) / 100 }

// Low is the second digit of the bucket; see High.
func (b Bucket) Low() int { return int(b) % 100 }

// BucketOf hashes a key exactly as the generated nginx config does: two
// split_clients of a hundred slices each, the second over LowKey.
func BucketOf(key string) Bucket {
	return Bucket(100*percentile(key) + percentile(LowKey(key)))
}

// LowKey is the text whose hash gives the bucket's second digit. It differs
// from the key itself so that the two digits are independent.
func LowKey(key string) string { return "low:" + key }

// percentile is nginx's split_clients with a hundred lines of 1 %: each slice
// is floor(100*0xffffffff/10000) hashes wide and the last takes the rest.
// nginx src/http/modules/ngx_http_split_clients_module.c.
func percentile(key string) int {
	const width = 100 * 0xffffffff / 10000
	return min(int(murmur2(key)/width), 99)
}

// murmur2 is MurmurHash2, 32 bits, seed 0, as nginx has it in
// src/core/ngx_murmurhash.c. murmur2("") is 0.
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
