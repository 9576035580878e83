// Package resolve turns the names of backends into addresses and keeps them
// fresh, so that nginx never resolves anything: a name without an address
// takes down one side of one service and not nginx's start.
//
// Takes: the backends of a table, and something that looks names up
// (net.Resolver does).
// Gives: a Snapshot of addresses, sorted, and of what went wrong; and a word
// when the addresses have changed.
// Refuses: to forget. A failed lookup keeps the last good addresses, however
// old. An address that is missing from a good answer stays for a while:
// servers that answer with a changing part of their addresses would
// otherwise cause an nginx reload every few seconds.
//
// Only package proxy imports it.
package resolve
