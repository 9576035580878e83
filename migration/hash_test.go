package migration

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The expected values are results of split_clients of nginx 1.22.1 for these keys,
// with 10000 slices of 0.01 % (which pins the upper part of the hash) and with the two
// digits of a bucket.
func TestMurmur2AndBucket(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key    string
		hash   uint32
		bucket Bucket
	}{
		{"", 0, 17},
		{"a", 0x92685f5e, 5797},
		{"ab", 0x1aa14063, 1086},
		{"abc", 0x13577c9b, 768},
		{"abcd", 0x26873021, 1556},
		{"abcde", 0x5f09a8de, 3796},
		{"user-1", 0x01434a3f, 90},
		{"service/api:alice", 0x72437438, 4402},
		{"low:service/api:alice", 0x06b267c6, 224},
		{"cohort/shop:1", 0x5696ae28, 3368},
		{"0123456789abcdef0123456789abcdef", 0x733233f1, 4469},
	} {
		t.Run(c.key, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.hash, murmur2(c.key))
			require.Equal(t, c.bucket, BucketOf(c.key))
		})
	}
}

func TestBucketDigits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bucket := BucketOf(rapid.String().Draw(t, "key"))
		require.GreaterOrEqual(t, bucket, Bucket(0))
		require.Less(t, bucket, Bucket(FullShare))
		require.Equal(t, bucket, Bucket(100*bucket.High()+bucket.Low()))
	})
}
