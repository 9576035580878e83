package nginxgen

import "github.com/migration-proxy/migration-proxy/migration"

// debugHeaders gives the values of X-Migration-Side and X-Migration-Reason, which
// addedHeaders adds to responses. The reason is the one of migration.Decide.
func (d *draft) debugHeaders() directives {
	pairs := []string{"", ""} // no side if nginx answers before it has asked one
	if d.any(hasStandby) {
		pairs = append(pairs, atStandby, "old")
	}
	return directives{
		mapping("$mp_token", "$mp_spoke", `~\Abucket/`, "$mp_strategy", `~\A(?:new|old)/(?<mp_rule>.+)\z`, "$mp_rule", "default", ""),
		volatileMapping("$mp_state", "$mp_reason", "", "$mp_spoke", "default", "$mp_state"),
		volatileMapping("$mp_backend", "$mp_chosen", "new_backend", "new", "old_backend", "old", "default", ""),
		volatileMapping("$upstream_addr", "$mp_side", append(pairs, "default", "$mp_chosen")...),
	}
}

// stateOfService sets the reason why old answers although the token may say new.
// The weights directory of the service then has a file "disabled" or "tripped".
func (d *draft) stateOfService(s *migration.Service) directives {
	var lines directives
	for _, state := range []string{"disabled", "tripped"} {
		lines = append(lines, block("if", []string{"-f", d.path("weights", string(s.Name), state)}, directives{line("set", "$mp_state", state)}))
	}
	return lines
}
