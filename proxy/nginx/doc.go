// Package nginx runs one nginx: finds it, tests configs with it, keeps it
// alive, reloads it, and asks it what it serves.
//
// Takes: the path of an nginx binary (1.19.5 or newer) and the one directory
// it writes to, of which it knows
//
//	current/nginx.conf   the config that the master loads
//	nginx.pid            written by nginx ("pid" in the config)
//	admin.sock           answers GET /digest with the digest of the config
//	error.log            what nginx says, at start and later
//
// Gives: a Supervisor, whose master is always running or about to be, and the
// reasons in nginx's own words when it is not.
// Refuses: to signal a process that it has not made sure is its own nginx. A
// process id is only a number: it is pinned by a pidfd first, and looked at
// then.
//
// nginx outlives the program that started it, so that a crash of the agent
// costs no request; Supervisor.Adopt takes it over. Nothing nginx writes goes
// through a pipe: a stopped reader would stop nginx too.
//
// It knows nothing of tables and services. Only package proxy imports it.
package nginx
