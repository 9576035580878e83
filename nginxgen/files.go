package nginxgen

import "maps"

// Files says which copies nginx reads in place of the certificate files that a
// config or Params name. A file without a copy is read itself. The zero value has
// no copies.
type Files struct {
	Trusted map[string]string // files with trusted certificates
	Pairs   map[KeyPair]KeyPair
}

// KeyPair names the files of a client certificate and its key.
type KeyPair struct{ Cert, Key string }

// TrustedFile gives what nginx reads in place of a file with trusted certificates.
func (f Files) TrustedFile(file string) string {
	if replaced, ok := f.Trusted[file]; ok {
		return replaced
	}
	return file
}

// Pair gives what nginx reads in place of a client certificate and its key.
func (f Files) Pair(pair KeyPair) KeyPair {
	if replaced, ok := f.Pairs[pair]; ok {
		return replaced
	}
	return pair
}

// Has tells whether a copy, named by its certificate, is among the files.
func (f Files) Has(cert string) bool {
	for _, file := range f.Trusted {
		if file == cert {
			return true
		}
	}
	for _, pair := range f.Pairs {
		if pair.Cert == cert {
			return true
		}
	}
	return false
}

// Equal tells whether nginx reads the same copies.
func (f Files) Equal(other Files) bool {
	return maps.Equal(f.Trusted, other.Trusted) && maps.Equal(f.Pairs, other.Pairs)
}
