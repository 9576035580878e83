package httpapi

import "github.com/migration-proxy/migration-proxy/internal/status"

// briefStatus is a status.Status whose services say no more than what the
// watcher judges by. It is asked for once a second: with 5,000 services it is
// a quarter of the whole.
type briefStatus struct {
	status.Status
	Services []briefService `json:"services"` // instead of the embedded one
}

type briefService struct {
	Name       string       `json:"name"`
	OldHost    string       `json:"old_host"`
	PathPrefix string       `json:"path_prefix"`
	Share      float64      `json:"share_percent"`
	Phase      status.Phase `json:"phase"`
	Reason     string       `json:"reason,omitempty"`
	Old        briefSide    `json:"old"`
}

// briefSide tells whether the replica knows where the side is.
type briefSide struct {
	Addresses  []string `json:"addresses"`
	Unresolved string   `json:"unresolved,omitempty"`
}

func brief(whole status.Status) briefStatus {
	short := briefStatus{Status: whole, Services: make([]briefService, len(whole.Services))}
	for i, s := range whole.Services {
		short.Services[i] = briefService{s.Name, s.OldHost, s.PathPrefix, s.Share, s.Phase, s.Reason, briefSide{s.Old.Addresses, s.Old.Unresolved}}
	}
	return short
}
