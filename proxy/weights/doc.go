// Package weights stores, for each service, what changes without an nginx
// reload: its share, and whether it is disabled or tripped.
//
// Takes:
//   - a directory
//   - a State per service
//
// Gives:
//   - a directory tree that nginx reads with one stat(2) per request
//
// Refuses:
//   - shares outside 0..10000
//
// The tree, for a service "api" at 12.34 %:
//
//	weights/api -> ../shares/1234
//	shares/1234/safe/bucket/0 -> ../../../all    buckets 0 to 99: new
//	...
//	shares/1234/safe/bucket/12/0 ... 33      files: buckets 1200 to 1233: new
//	shares/1234/safe/bucket/12/34 ... 99     directories: old
//	shares/1234/safe/bucket/13 -> ../../../none  buckets 1300 to 1399: old
//	shares/1234/safe/new -> ../../rules      rules that send to new apply
//	shares/all/0 ... 99 (files)    shares/none/0 ... 99 (directories)
//	shares/rules/header_rule[0] ...
//	shares/disabled/disabled    shares/tripped/tripped    no safe: all to old
//
// weights/api/safe/bucket/12/33 is a file, so bucket 1233 goes to new;
// .../12/34 is not a file, so bucket 1234 goes to old. Whatever is missing (a
// service, a share, a file) means old.
//
// Every change is one rename(2): nginx sees the previous share or the next
// one, also when the agent is killed in between. The directory should be
// memory-backed: nothing is synced to disk.
package weights
