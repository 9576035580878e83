package journal

import "github.com/migration-proxy/migration-proxy/internal/status"

// Splits remembers what each replica had counted before a service fell back. The count of a
// share ends with the fallback, and the entry about it is written later. The zero value is
// ready.
type Splits struct {
	known map[splitKey]status.Split
}

type splitKey struct{ replica, service string }

// Take takes in what the replicas say now, by their names. Replicas that are not among them
// are forgotten.
func (s *Splits) Take(replicas map[string][]status.Service) {
	now := map[splitKey]status.Split{}
	for replica, rows := range replicas {
		for _, row := range rows {
			key := splitKey{replica, row.Name}
			if _, known := s.known[key]; known && (row.Phase == status.FallenBack || row.Split.Share != row.Share) {
				now[key] = s.known[key] // a fallback, or the moment in which it begins
				continue
			}
			now[key] = row.Split
		}
	}
	s.known = now
}

// Until is the row of a replica with what was counted until its service fell back.
func (s *Splits) Until(replica string, row status.Service) status.Service {
	if split, known := s.known[splitKey{replica, row.Name}]; known && row.Phase == status.FallenBack {
		row.Split = split
	}
	return row
}

// Counted is what Until gives for all rows of the replicas.
func (s *Splits) Counted(replicas map[string][]status.Service) map[string][]status.Service {
	counted := map[string][]status.Service{}
	for replica, rows := range replicas {
		for _, row := range rows {
			counted[replica] = append(counted[replica], s.Until(replica, row))
		}
	}
	return counted
}
