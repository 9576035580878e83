package proxy

import (
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// certFilesChanged prepares the wanted version again, with the new copies. A version
// that nginx refused is tried again too: a file that it names may have come.
func (l *agentLoop) certFilesChanged() {
	if l.refused != nil && l.refused.number == l.lastNumber {
		l.wanted, l.retryAt = l.refused, time.Time{}
	}
	l.dirty = l.wanted != nil
}

// refuseCertFiles goes back to the certificate files in force, if they are all that
// distinguishes a refused generation from the one in force.
func (l *agentLoop) refuseCertFiles(bad *generation, err error) bool {
	if l.served == nil || l.served.table == nil || bad.number != l.served.number || bad.files.Equal(l.served.files) {
		return false
	}
	return l.certs.Refuse(bad.files, err.Error())
}

// TrustedFile gives the copy of a file with trusted certificates that nginx reads.
func (a *Agent) TrustedFile(file string) string { return a.filesInForce().TrustedFile(file) }

// KeyPair gives the copies of a client certificate and its key that nginx reads.
func (a *Agent) KeyPair(cert, key string) (certCopy, keyCopy string) {
	pair := a.filesInForce().Pair(nginxgen.KeyPair{Cert: cert, Key: key})
	return pair.Cert, pair.Key
}

func (a *Agent) filesInForce() nginxgen.Files {
	if served := a.published.Load().served; served != nil {
		return served.files
	}
	return nginxgen.Files{}
}

// tables lists those tables whose certificate files are followed.
func (l *agentLoop) tables(wanted *migration.Table) []*migration.Table {
	all := []*migration.Table{wanted, l.table()}
	if l.refused != nil {
		all = append(all, l.refused.table)
	}
	return all
}

// pruneCertFiles removes the copies that no config needs. Users may compare the
// config before, so its copies stay too.
func (l *agentLoop) pruneCertFiles(previous *generation) {
	keep := []nginxgen.Files{l.served.files}
	if previous != nil {
		if previous.files.Equal(l.served.files) {
			return
		}
		keep = append(keep, previous.files)
	}
	if err := l.certs.Prune(keep...); err != nil {
		l.options.Log.Warn("copies of certificate files not removed", "error", err)
	}
}
