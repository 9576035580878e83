// Package weights keeps, for each service, the one thing about its traffic
// that changes without an nginx reload: its share, and whether it is disabled
// or tripped.
//
// Takes: a directory, and per service a State.
// Gives: a directory tree that nginx asks with one stat per request:
//
//	weights/api -> ../shares/1234            this service is at 12.34 %
//	shares/1234/safe/bucket/0 -> ../../../all    buckets 0 to 99: new
//	...
//	shares/1234/safe/bucket/12/0 ... 33      files: buckets 1200 to 1233: new
//	shares/1234/safe/bucket/12/34 ... 99     directories: old
//	shares/1234/safe/bucket/13 -> ../../../none  buckets 1300 to 1399: old
//	shares/1234/safe/new -> ../../rules      a rule that sends to new is obeyed
//	shares/all/0 ... 99 (files)    shares/none/0 ... 99 (directories)
//	shares/rules/header_rule[0] ...
//	shares/disabled/disabled    shares/tripped/tripped    no safe: all to old
//
// weights/api/safe/bucket/12/33 is a file, so bucket 1233 goes to new;
// .../12/34 is none, so bucket 1234 goes to old. What cannot be found is old:
// a missing service, share or file never sends anybody to new.
//
// Every change is one rename(2): nginx sees the share before or the share
// after, also when the agent is killed in between. The directory should be
// memory-backed: nothing is synced to disk.
//
// Refuses: shares outside 0..10000. It decides nothing: who is tripped is the
// caller's business. Only package proxy imports it.
package weights
