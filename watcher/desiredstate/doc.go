// Package desiredstate is what the reconcilers work towards.
//
// Takes: a table, and the state of all services.
//
// Gives: an immutable copy of both, the view that package ingressgen takes, and what
// differs between two desired states.
package desiredstate
