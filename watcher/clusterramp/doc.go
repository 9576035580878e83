// Package clusterramp moves the ramps of a cluster: ConfigMap migration-ramp.
// proxy/localramp moves those of a local config.
//
// Takes: the desired state, the evidence of the replicas, what the addresses of
// ramp.check answer, and the commands that people wrote into the ConfigMap.
//
// Gives: the positions, which the replicas read; metrics, Events and entries of the
// journal.
//
// Refuses: to act on what could not be written, and to rise without evidence.
package clusterramp
