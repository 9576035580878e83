// Package workermemory keeps nginx's workers from taking the memory that ends the
// container. What a request holds in nginx has a bound, but their number is a client's: a
// thousand connections with unfinished headers take 136 MB.
//
// Takes:
//   - the memory that the container may have, what it uses now (from its control group,
//     without what the kernel can drop), and the workers, also those that are shutting down
//
// Gives:
//   - a limit for the data of each worker (RLIMIT_DATA), once a second: together they may
//     grow by what is free, less a reserve for the agent, the log in memory and reloads
//
// A worker at its limit goes on: it ends the connection that needed the memory, and
// serves those that need none or what others gave back.
//
// Refuses:
//   - nothing: without a limit, or where it cannot be measured, workers have none
package workermemory
