package accesslog

import (
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// epochLength is how long a bucket counts once: requests of one user are not
// independent of each other.
const epochLength = 5 * time.Minute

const bucketSetBytes = (int(migration.FullShare) + 7) / 8

// bucketSets are the buckets of one epoch that had requests, failures and slow answers.
type bucketSets struct {
	epoch              time.Time
	seen, failed, slow [bucketSetBytes]byte
}

// empty begins a new epoch.
func (b *bucketSets) empty(now time.Time) { *b = bucketSets{epoch: now.UTC()} }

// keepEpoch begins a new epoch when five minutes are full.
func (b *bucketSets) keepEpoch(now time.Time) {
	if begin := now.UTC().Truncate(epochLength); begin.After(b.epoch) {
		b.empty(begin)
	}
}

func (b *bucketSets) add(bucket migration.Bucket, o outcome) {
	if bucket < 0 || int(bucket) >= int(migration.FullShare) {
		return
	}
	b.keepEpoch(o.at)
	at, bit := bucket/8, byte(1)<<(bucket%8)
	b.seen[at] |= bit
	if o.failed {
		b.failed[at] |= bit
	}
	if o.slow {
		b.slow[at] |= bit
	}
}

// document copies the sets; nil for a strategy without them.
func (b *bucketSets) document(now time.Time) *status.EvidenceBuckets {
	if b == nil {
		return nil
	}
	b.keepEpoch(now)
	return &status.EvidenceBuckets{
		Epoch: b.epoch, Seen: slices.Clone(b.seen[:]), Failed: slices.Clone(b.failed[:]), Slow: slices.Clone(b.slow[:]),
	}
}
