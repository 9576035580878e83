package finish

import (
	"time"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Facts are what is known of one service.
type Facts struct {
	Now time.Time
	// Quiet is how long nothing may have happened.
	Quiet   time.Duration
	Service *migration.Service
	// Host is old_host; one of its hosts if it is a wildcard.
	Host       string
	Replicas   []Replica
	Journal    journal.Journal
	JournalErr string // why the journal is not known; "" if it is
	// Unreachable is why new cannot be asked from here; "" if it can.
	Unreachable string
	Certificate Certificate
	Answers     []Answer
	DNS         DNS
}

// Replica is one ready replica of the data plane.
type Replica struct {
	Name    string
	Problem string         // why it is not known what it does; "" if it is
	Row     status.Service // what it does
}

// Certificate is what new presents under old_host.
type Certificate struct {
	Address string // that was asked
	Plain   bool   // new speaks no TLS
	// Failure is why there was no handshake; "" if there was one.
	Failure string
	// Chain and Name are why no client would trust it; "" if clients do.
	Chain, Name string
	NotAfter    time.Time
}

// Answer is what new says to one request: under new_host, then under old_host, and so on in
// turn, so that what changes by itself is known.
type Answer struct {
	Path  string
	AsNew [3]compare.Answer
	AsOld [2]compare.Answer
}

// DNS is what name servers know of old_host.
type DNS struct {
	Server string // that was asked
	// Failure is why the records are not known; "" if they are.
	Failure string
	// Chain are the records from old_host to its addresses.
	Chain []Record
	// Authoritative says that the server is one of the zone, so that a TTL is the whole
	// one. A resolver gives what is left of it.
	Authoritative bool
	// Owners are what external-dns has written about the owner of the records.
	Owners []Owner
	// OwnersFailure is why they are not known; "" if they are.
	OwnersFailure string
}

// Record is one DNS record.
type Record struct {
	Name, Type, Value string
	TTL               time.Duration
}

// Owner is a TXT record of external-dns.
type Owner struct {
	Name     string // of the TXT record
	Text     string
	Owner    string
	Resource string // "ingress/shop/shop"; "" if the record does not say
}
