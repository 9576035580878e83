package health

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strings"
)

// matchesHost tells whether a certificate is for a name, as X509_check_host of
// OpenSSL does, which nginx calls. Where it differs from Go:
//
//	without a DNS name in the certificate, the common names count
//	a name that is an IP address is compared with names, not with IP addresses
//	"*" may be a part of the first label ("a*.example.com")
//	"*" matches letters, digits and '-' only, and needs two dots after it
func matchesHost(certificate *x509.Certificate, name string) bool {
	for _, pattern := range candidates(certificate) {
		if matchesPattern(strings.ToLower(pattern), strings.ToLower(name)) {
			return true
		}
	}
	return false
}

// candidates are the DNS names, or the common names if there are none.
func candidates(certificate *x509.Certificate) []string {
	if len(certificate.DNSNames) > 0 {
		return certificate.DNSNames
	}
	var names []string
	for _, attribute := range certificate.Subject.Names {
		if text, ok := attribute.Value.(string); ok && attribute.Type.Equal(commonName) {
			names = append(names, text)
		}
	}
	return names
}

var commonName = asn1.ObjectIdentifier{2, 5, 4, 3}

func matchesPattern(pattern, name string) bool {
	prefix, suffix, ok := cutWildcard(pattern)
	if !ok {
		return pattern == name
	}
	if len(name) < len(prefix)+len(suffix) || !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, suffix) {
		return false
	}
	matched := name[len(prefix) : len(name)-len(suffix)]
	wholeLabel := prefix == "" && suffix[0] == '.'
	if wholeLabel && matched == "" || !wholeLabel && strings.HasPrefix(name, "xn--") {
		return false
	}
	return matched == "*" || strings.Trim(matched, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// cutWildcard cuts a pattern at its "*". It reports false if the pattern is not one
// that OpenSSL takes for a wildcard; the text is then compared as it is.
func cutWildcard(pattern string) (prefix, suffix string, ok bool) {
	prefix, suffix, ok = strings.Cut(pattern, "*")
	startsOrEnds := prefix == "" || strings.HasPrefix(suffix, ".")
	if !ok || !startsOrEnds || strings.Contains(prefix, ".") || strings.Count(suffix, ".") < 2 {
		return "", "", false
	}
	for i, label := range strings.Split(prefix+"x"+suffix, ".") {
		if !isLabel(label) || i == 0 && strings.HasPrefix(prefix, "xn--") {
			return "", "", false
		}
	}
	return prefix, suffix, true
}

func isLabel(label string) bool {
	return label != "" && label[0] != '-' && label[len(label)-1] != '-' &&
		strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// namesOf lists what a certificate is for, for an error.
func namesOf(certificate *x509.Certificate) string {
	names := candidates(certificate)
	for _, ip := range certificate.IPAddresses {
		names = append(names, "IP address "+ip.String())
	}
	if len(names) == 0 {
		return "no name"
	}
	return fmt.Sprintf("%.200s", strings.Join(names, ", "))
}
