// Package nginxgen generates the nginx config of a migration.Table.
//
// Takes:
//   - a Table
//   - Endpoints: the addresses that the backends resolved to
//   - Params: where and on which nginx the config runs
//
// Gives:
//   - a Config: the text, its digest, and the names of the rules for new
//   - the same bytes for the same input
//
// Refuses:
//   - nothing that a Table can hold: nginx accepts every text
//
// # What needs a reload
//
// The text holds everything of a service except its share and whether it is
// enabled or tripped. A change of the text needs a reload of nginx. Share, enabled
// and tripped are files that nginx tests for each request; they change without a
// reload. Each request gets a token, the reason why it should go to new:
//
//	bucket/12/34        the dice or the hash gave bucket 1234 of 10000
//	new/header_rule[0]  a rule says new ("new/direct": the always-new listener)
//	old/ip_rule[2]      a rule says old ("old/strategy": no rule matched)
//	new/compare         the agent asks on CompareNewSocket; no file has this name
//
// The request goes to new if the file weights/SERVICE/safe/TOKEN exists. If
// anything of that path is missing, the request goes to old.
//
// # Safety
//
// There is one file of this package per nginx concept. All text is written as
// crossplane directives, which are quoted; all values come from the closed
// alphabets of package migration. The package is pure.
package nginxgen
