package httpapi

import "github.com/migration-proxy/migration-proxy/internal/status"

// briefStatus is a status.Status whose services have only the fields that the
// watcher uses. The watcher requests it once a second: with 5,000 services it
// has a quarter of the size of the full document.
type briefStatus struct {
	status.Status
	Services []briefService `json:"services"` // instead of the embedded one
}

type briefService struct {
	Name       string       `json:"name"`
	OldHost    string       `json:"old_host"`
	PathPrefix string       `json:"path_prefix"`
	Share      float64      `json:"share_percent"`
	Ramp       *status.Ramp `json:"ramp,omitempty"`
	Phase      status.Phase `json:"phase"`
	Reason     string       `json:"reason,omitempty"`
	Old        briefSide    `json:"old"`
	Strategy   string       `json:"strategy"`
	RulesToNew bool         `json:"rules_to_new,omitempty"`
	Split      status.Split `json:"split"`
}

// briefSide has the addresses of a side, or why they are unknown.
type briefSide struct {
	Addresses  []string `json:"addresses"`
	Unresolved string   `json:"unresolved,omitempty"`
}

func brief(whole status.Status) briefStatus {
	short := briefStatus{Status: whole, Services: make([]briefService, len(whole.Services))}
	for i, s := range whole.Services {
		short.Services[i] = briefService{s.Name, s.OldHost, s.PathPrefix, s.Share, s.Ramp, s.Phase, s.Reason, briefSide{s.Old.Addresses, s.Old.Unresolved}, s.Strategy, s.RulesToNew, s.Split}
	}
	return short
}
