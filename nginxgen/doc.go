// Package nginxgen turns a migration.Table into the text of one nginx config.
//
// Takes: a Table, the addresses that its backends resolved to, and Params
// that say where the proxy runs.
// Gives: a Config: the text, a digest of it, and the names of the rules that
// the weights room must know. The same input gives the same bytes.
// Refuses: nothing that a Table can hold; what config accepts, nginx accepts.
//
// What is in the text and what is beside it: everything of a service but its
// share, and whether it is enabled or tripped, is structure and stands in the
// text; a change of it needs a reload. Share, enabled and tripped are files
// that nginx looks at for each request, and change without one. A request is
// given a token, the reason why it should go to new:
//
//	bucket/12/34        dice or hash fell into bucket 1234 of 10000
//	new/header_rule[0]  a rule says new ("new/direct": the always-new listener)
//	old/ip_rule[2]      a rule says old ("old/strategy": no rule spoke)
//
// and goes to new if the file weights/SERVICE/safe/TOKEN exists. If anything
// is missing there the request goes to old.
//
// One file of this package per nginx concept. Text reaches nginx only as
// crossplane directives, which quote; values come only from migration's closed
// alphabets. The package is pure, and only proxy, cmd and tests import it.
package nginxgen
