// Package proxy is the agent of the data plane: it puts a migration.Table in
// force in one supervised nginx and keeps it in force.
//
// Takes:
//   - valid tables (ApplyTable, SetLastGood)
//   - the reasons why a newer config is not valid (ReportInvalid)
//   - the state of the circuit breaker of a service (SetFallback)
//
// Gives:
//   - an nginx that serves the newest table that could be put in force
//   - a status.Status: the table in force, and what is wrong with a newer one
//   - to its Observer, each table in force and each line of nginx's error log
//
// Refuses:
//   - to assume success: a config is in force when nginx itself has answered
//     with its digest several times in a row; otherwise the previous config is
//     put back
//   - a runtime directory that another agent uses
//
// A change takes one of two ways. The share, enabled and tripped of a service
// are applied at once and never reload nginx:
//
//	Agent.ApplyTable, Agent.SetFallback
//	  -> agentLoop.turn -> applyWeights -> weights.Store.Apply (one symlink)
//
// Everything else changes the nginx config, at most once a second:
//
//	Agent.ApplyTable
//	  -> agentLoop.turn -> prepare: resolve, generate, stage, nginx -t of what is new
//	                    -> commit:  swap, drain, reload, read the digest back
//
// The agent and nginx write only to the runtime directory:
//
//	lock                       one agent at a time
//	conf/<digest>/nginx.conf   staged configs
//	current -> conf/<digest>   the config that nginx loads
//	serving/<digest>           its removal makes the workers of that config drain
//	weights/ shares/           see package weights
//	certs/                     see package certfiles
//	cache-on                   see package cacheroom
//	standby.pem standby.key    the certificate of standby servers, see nginxgen
//	nginx.pid admin.sock old-* access.log error.log temp/
//
// The goroutine of Run owns all state that changes; see agentLoop.
package proxy
