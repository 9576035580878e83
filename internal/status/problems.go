package status

import (
	"fmt"
	"strings"
	"time"
)

// Problem is something to know about a replica or a service.
type Problem struct {
	Service string `json:"service,omitempty"` // "" concerns all
	Text    string `json:"text"`              // with the name of the service
	// Person says that it does not go away by itself.
	Person bool `json:"needs_person"`
}

// Problems says that what is served deviates from what is wanted, why the service is not
// Migrating, why its ramp cannot move, and which backends have no address, do not lead to
// an application, or have certificate files that cannot be used.
func (s Service) Problems(now time.Time) []Problem {
	var found []Problem
	add := func(text string, person bool) {
		found = append(found, Problem{s.Name, s.Name + ": " + text, person})
	}
	if deviation := s.Deviation(now); deviation != "" {
		add(deviation, true)
	}
	if s.Reason != "" && s.Phase != Disabled {
		add(s.Reason, false)
	}
	if s.SideProblem != "" {
		add(s.SideProblem, true)
	}
	if s.Ramp != nil && s.Ramp.Problem != "" {
		add(s.Ramp.Problem, true)
	}
	for _, side := range []Side{s.Old, s.New} {
		for _, text := range side.problems() {
			add(side.Backend+": "+text, true)
		}
	}
	return found
}

func (s Side) problems() []string {
	var found []string
	if s.Unresolved != "" {
		found = append(found, s.Unresolved)
	}
	if s.Warning != "" {
		found = append(found, s.Warning)
	}
	if s.CertificateProblem != "" {
		found = append(found, s.CertificateProblem+"; the last good files are in use")
	}
	return found
}

// Problems are those of the replica, without those of its services.
func (s Status) Problems() []Problem {
	var found []Problem
	if rejected := s.Config.Rejected; rejected != nil {
		found = append(found, Problem{Person: true, Text: fmt.Sprintf("The newest config was rejected at %s (%s); the last good one stays in force:\n%s",
			rejected.At.Local().Format(time.DateTime), rejected.Stage, strings.Join(rejected.Problems, "\n"))})
	}
	if s.Nginx.SideProblem != "" {
		found = append(found, Problem{Text: s.Nginx.SideProblem, Person: true})
	}
	if s.Nginx.MemoryTaken {
		found = append(found, Problem{Person: true, Text: "Four fifths of the container's memory are taken, and nginx ended connections that needed more within the last minute. " +
			"See who sends so much, or raise the limit"})
	}
	if s.Nginx.LastError != "" {
		found = append(found, Problem{Text: "nginx: " + s.Nginx.LastError})
	}
	return found
}

// Holes is one line about the known holes of the nginx; "" if there are none.
func (n Nginx) Holes() string {
	if len(n.KnownHoles) == 0 {
		return ""
	}
	var ids []string
	for _, hole := range n.KnownHoles {
		id, _, _ := strings.Cut(hole, ":")
		ids = append(ids, id)
	}
	return fmt.Sprintf("nginx %s has known holes, unless its distributor mended them: %s (docs/security.md)", n.Version, strings.Join(ids, ", "))
}

// Headline is "ready, serves 0123456789abcdef of migration.yaml for 5m0s, nginx 1.22.1".
func (s Status) Headline() string {
	ready := "ready"
	if !s.Ready {
		ready = "NOT READY"
	}
	config := "serves no config yet"
	if s.Config.Digest != "" {
		config = fmt.Sprintf("serves %s of %s for %s", s.Config.Digest, s.Config.Source, s.Now.Sub(s.Config.Since).Round(time.Second))
	}
	return fmt.Sprintf("%s, %s, nginx %s", ready, config, s.Nginx.Version)
}
