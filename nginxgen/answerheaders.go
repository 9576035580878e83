package nginxgen

import (
	"fmt"
	"strings"
)

// answerHeaders translates the URLs in headers of new for which nginx has no directive
// of its own: nginx hides the header and adds it again. Before 1.23 nginx reads only
// the first of several lines, so headers that may have several lines stay as they are.
// From 1.23 on nginx reads the lines as one, joined by ", ". Those of old pass, see
// oldAnswers.
//
// Most answers have none of the headers. So one map looks for all of them. It gives
// nothing, and the first value evaluates it. Only if one is there, $mp_translated puts
// all values in one text, and its expression sets the variables of the lines.
func (d *draft) answerHeaders() directives {
	// The ports of Alt-Svc are not those of the client's hop, and its host leads
	// clients past the proxy. It does not pass from old either.
	lines := directives{line("proxy_hide_header", "Alt-Svc")}
	names := d.translatedHeaders()
	for _, name := range names {
		lines = append(lines, line("proxy_hide_header", name))
	}
	lines = append(lines, oneURL("Content-Location"), oneURL("Access-Control-Allow-Origin"))
	if d.params.Version.joinsLines() {
		lines = append(lines, links()...)
		lines = append(lines, challenges()...)
	}
	lines = append(lines, translatedMaps(names)...)
	return append(lines, d.addTranslated()...)
}

// maxLines is how many lines a client gets of a header.
func maxLines(name string) int {
	if name == "WWW-Authenticate" {
		return maxChallenges
	}
	return 1
}

// translatedMaps gives the maps that look for the headers and translate them.
func translatedMaps(names []string) directives {
	var there, values, captures []string
	for _, name := range names {
		there = append(there, upstreamHeader(name))
		for i := range maxLines(name) {
			variable := lineVariable(name, i)
			values = append(values, variable+"_new")
			captures = append(captures, "(?<"+variable[1:]+`>[^\x01]*)`)
		}
	}
	const separator = "\x01" // no header has it
	return directives{
		mapping(strings.Join(there, ";"), "$mp_translates", strings.Repeat(";", len(there)-1), "", "default", "$mp_translated"),
		mapping(strings.Join(values, separator), "$mp_translated", `~\A`+strings.Join(captures, `\x01`)+`\z`, "", "default", ""),
	}
}

// addTranslated adds the headers of new that are there.
func (d *draft) addTranslated() directives {
	var lines directives
	first := "$mp_translates"
	for _, name := range d.translatedHeaders() {
		for i := range maxLines(name) {
			lines = append(lines, line("add_header", name, first+lineVariable(name, i), "always"))
			first = ""
		}
	}
	return lines
}

// lineVariable is the variable with one line of a header for the client.
func lineVariable(name string, i int) string { return fmt.Sprintf("%s_%d", headerVariable(name), i) }

// upstreamHeader is nginx's variable with a header of a backend.
func upstreamHeader(name string) string { return "$upstream_http_" + variableName(name) }

// headerVariable begins the names of our variables about a header.
func headerVariable(name string) string { return "$mp_" + variableName(name) }

func variableName(name string) string { return strings.ToLower(strings.ReplaceAll(name, "-", "_")) }

func (d *draft) translatedHeaders() []string {
	names := []string{"Content-Location", "Access-Control-Allow-Origin"}
	if d.params.Version.joinsLines() {
		names = append(names, "Link", "WWW-Authenticate")
	}
	return names
}

// oneURL translates a header whose value is one URL.
func oneURL(name string) *directive {
	header := upstreamHeader(name)
	return mapping(header, headerVariable(name)+"_0_new", "", "", `~*\A`+urlPattern, "$mp_url_new", "default", header)
}

// maxLinks is how many URLs with the own name of new are translated in Link.
const maxLinks = 4

// links translates the own name of new in Link, where one expression finds a given
// number of URLs that have the same scheme.
func links() directives {
	const (
		again = `\k<mp_link_scheme>//\k<mp_link_host>`
		after = `\.?(?::[0-9]*)?(?<mp_link_part_%d>(?:[/?#"' ,;>].*?)?)`
	)
	var pairs []string
	for n := maxLinks; n > 0; n-- {
		expression := `~*\A(?<mp_link_host>\S+) (?<mp_link_part_0>.*?)(?<mp_link_scheme>(?:https?:)?)//\k<mp_link_host>` + fmt.Sprintf(after, 1)
		value := "$mp_link_part_0$mp_link_origin$mp_link_part_1"
		for i := 2; i <= n; i++ {
			expression += again + fmt.Sprintf(after, i)
			value += fmt.Sprintf("$mp_link_origin$mp_link_part_%d", i)
		}
		pairs = append(pairs, expression+`\z`, value)
	}
	header := upstreamHeader("Link")
	return directives{
		mapping("$mp_client_scheme $mp_link_scheme", "$mp_link_origin",
			"http https:", "https://$mp_client_host", "https http:", "https://$mp_client_authority",
			"default", "$mp_link_scheme//$mp_client_authority"),
		mapping("$mp_host "+header, headerVariable("Link")+"_0_new", append(pairs, "default", header)...),
	}
}

// challengePattern matches one challenge of WWW-Authenticate: up to a comma after
// which the name of a scheme begins. Browsers read only one challenge in each line.
// (nginx reads two backslashes as one, so \x5c stands for it.)
const challengePattern = `(?:[^",]|"(?:[^"\x5c]|\x5c.)*+"|,(?! ` + schemePattern + `))+`

const schemePattern = `(?:[A-Z][A-Za-z0-9-]*|(?:basic|bearer|digest|negotiate|ntlm))(?: +[^ =,]|,|\z)`

// maxChallenges is how many lines of WWW-Authenticate a client gets; the last one has
// the rest.
const maxChallenges = 3

// challenges translates the first URL of each challenge of WWW-Authenticate, such as
// realm="https://sso.new.example.com/token". Each challenge gets a line of its own.
func challenges() directives {
	const (
		url = `~*\A(?<mp_challenge_before>(?:.*?[ =<"'])?)` + urlPattern
		all = `~\A(?<mp_challenge_0>` + challengePattern + `)(?:, (?<mp_challenge_1>` + challengePattern + `)(?:, (?<mp_challenge_2>.*))?)?\z`
	)
	header, variable := upstreamHeader("WWW-Authenticate"), headerVariable("WWW-Authenticate")
	lines := directives{mapping(header, variable+"_0_new", "", "", all, "$mp_challenge_0_new", "default", header)}
	for i := range maxChallenges {
		challenge, translated := fmt.Sprintf("$mp_challenge_%d", i), fmt.Sprintf("%s_%d_new", variable, i)
		if i == 0 {
			translated = challenge + "_new"
		}
		lines = append(lines, mapping(challenge, translated, "", "", url, "$mp_challenge_before$mp_url_new", "default", challenge))
	}
	return lines
}
