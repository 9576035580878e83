package nginxgen

import "github.com/migration-proxy/migration-proxy/migration"

// stickyAge is how long a browser keeps the sticky cookie: a year, longer than a
// migration takes.
const stickyAge = "31536000"

// stickyMaps gives the maps for one name of the sticky cookie. The variable is the
// digits of the bucket, and variable_cookie is the Set-Cookie of the answer or "".
//
// The cookie is set only while the side depends on it: if the bucket decided (a rule
// may have), and the share in force is above 0 and below 100 %. The name of the
// directory that the symlink of the service leads to says so; share 10000 is 100 %,
// and a disabled or tripped service has a word there. nginx reads the symlink only for
// requests without the cookie, as each map asks the next one only then.
func stickyMaps(variable, cookie string) directives {
	high, low := variable[1:]+"_high", variable[1:]+"_low"
	return directives{
		// See migration.StickyBucket; the digits are those of the files, without a 0 in front.
		mapping("$http_cookie", variable+"_sent",
			`~(?:\A|;\s*)`+migration.LiteralPCRE(cookie)+`=(?=[0-9]{4}(?:;|\z))0?(?<`+high+`>[1-9]?[0-9])(?=[0-9]{2}(?:;|\z))0?(?<`+low+`>[1-9]?[0-9])(?:;|\z)`,
			"$"+high+"/$"+low, "default", ""),
		mapping(variable+"_sent", variable, "", "$mp_dice_high/$mp_dice_low", "default", variable+"_sent"),
		mapping(variable+"_sent$mp_token", variable+"_cookie", `~\Abucket/`, variable+"_fresh", "default", ""),
		mapping("$realpath_root", variable+"_fresh",
			`~/shares/[1-9][0-9]{0,3}\z`, cookie+"=$mp_dice; Path=/; Max-Age="+stickyAge+"; HttpOnly; SameSite=Lax$mp_sticky_secure",
			"default", ""),
	}
}

// stickyValues gives the maps that all sticky cookies share: the dice as four digits,
// and the attribute for clients that came by https.
func stickyValues() directives {
	return directives{
		mapping("$mp_dice_high/$mp_dice_low", "$mp_dice",
			`~\A(?<mp_dice_a>[0-9][0-9])/(?<mp_dice_b>[0-9][0-9])\z`, "$mp_dice_a$mp_dice_b",
			`~\A(?<mp_dice_c>[0-9])/(?<mp_dice_d>[0-9][0-9])\z`, "0$mp_dice_c$mp_dice_d",
			`~\A(?<mp_dice_e>[0-9][0-9])/(?<mp_dice_f>[0-9])\z`, "${mp_dice_e}0$mp_dice_f",
			`~\A(?<mp_dice_g>[0-9])/(?<mp_dice_h>[0-9])\z`, "0${mp_dice_g}0$mp_dice_h"),
		mapping("$mp_client_scheme", "$mp_sticky_secure", "https", "; Secure", "default", ""),
	}
}

// setSticky adds the cookie to answers of a sticky service. The root is for $realpath_root.
func (d *draft) setSticky(s *migration.Service) directives {
	if !s.Sticky() {
		return nil
	}
	return directives{line("root", d.path("weights", string(s.Name))),
		line("add_header", "Set-Cookie", "$mp_"+d.userKeys[s.HashKey]+"_cookie", "always")}
}

// addedToNew gives the headers that a location adds to answers of new, if they are not
// those of the http block: a location that adds a header inherits none.
func (d *draft) addedToNew(s *migration.Service) directives {
	if !s.Sticky() {
		return nil
	}
	return append(d.addedHeaders(), append(d.addTranslated(), d.setSticky(s)...)...)
}

// addedToOld gives the headers of answers of old: the translated ones of the http block
// are for new.
func (d *draft) addedToOld(s *migration.Service) directives {
	lines := append(d.addedHeaders(), d.setSticky(s)...)
	if len(lines) == 0 {
		lines = append(lines, line("add_header", "Alt-Svc", "")) // an empty value adds nothing
	}
	return lines
}

// addedHeaders gives the headers that all answers get.
func (d *draft) addedHeaders() directives {
	var lines directives
	if d.params.Version.NeedsDrain() {
		lines = append(lines, line("add_header", "Connection", d.drainValue(), "always"))
	}
	if d.table.Global().DebugHeaders {
		lines = append(lines,
			line("add_header", "X-Migration-Side", "$mp_side", "always"),
			line("add_header", "X-Migration-Reason", "$mp_reason", "always"))
	}
	return lines
}
