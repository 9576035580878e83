package accesslog

import (
	"bytes"
	"net/http"

	"github.com/migration-proxy/migration-proxy/migration"
)

// standbyAddress begins the address of a standby server: old answers behind it, see
// package nginxgen.
var standbyAddress = []byte("unix:")

// readGRPC replaces the HTTP status, which is 200 whatever comes of a call, by the
// one that its status of gRPC stands for: for the client, and for the side that gave
// it, which is the last one asked.
//
//	addresses                            answered
//	192.0.2.7:50051                      the side of the decision
//	192.0.2.7:50051, unix:/run/mp/old-1  old, because new could not be connected to
func (e *Event) readGRPC(text []byte) {
	last := &e.Old
	if e.Old.Tries == 0 {
		last = &e.New
	} else if e.New.Tries > 0 {
		e.Answered = migration.Old
	}
	code, known := number(text)
	if !known || e.Status != http.StatusOK || last.Status != http.StatusOK {
		return
	}
	e.Status = migration.StatusOfGRPC(code)
	last.Status = e.Status
}

// addGivenUp notes that new was given up for old. If nginx knew no address of new,
// it has not even tried.
func (e *Event) addGivenUp() {
	if e.New.Tries == 0 {
		e.New = Upstream{Tries: 1, Status: http.StatusBadGateway, Latency: -1}
	}
}

// behindStandby is what old did: a standby server could be asked, and answers 502 or 504
// itself where old could not.
func (t try) behindStandby() try {
	if status, _ := number(t.status); status == http.StatusBadGateway || status == http.StatusGatewayTimeout {
		t.connect, t.header = nil, nil
	}
	return t
}

func isStandby(address []byte) bool { return bytes.HasPrefix(address, standbyAddress) }
