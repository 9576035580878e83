package nginxgen

import "github.com/migration-proxy/migration-proxy/migration"

// originMaps gives the maps of the Origin and Referer of requests to new. Frameworks
// compare them with Host, so the host that the client called becomes new_host, as in
// Host. Other origins stay.
func (d *draft) originMaps() directives {
	const caller = `~*\A(\S+) (https?://)\1\.?(?::[0-9]+)?((?:[/?#].*)?)\z`
	lines := directives{}
	for _, name := range []string{"origin", "referer"} {
		header, own := "$http_"+name, "$mp_own_"+name
		lines = append(lines,
			mapping(header, "$mp_"+name, "", "", "default", own),
			mapping("$mp_keeps_origin$host "+header, own,
				caller, "$2$mp_host$3", "default", header))
	}
	return lines
}

// keepsOrigin switches the maps of originMaps off for a service: no host begins with
// this value.
func keepsOrigin(s *migration.Service) directives {
	if s.RewriteOrigin {
		return nil
	}
	return directives{line("set", "$mp_keeps_origin", "/")}
}
