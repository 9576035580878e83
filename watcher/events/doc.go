// Package events writes the watcher's Events, which are the cluster's log for people.
//
// Takes: what happened, and the object that an Event is about.
//
// Gives: Events in the API server, and what a change of an Ingress is called.
//
// Refuses: to repeat an Event that is lost.
package events
