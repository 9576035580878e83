package workermemory

// reserved is the part of the container's memory, in percent, that workers leave to the
// agent, to the access log in the runtime directory, and to a reload.
const reserved = 20

// worker is how large a worker is, in bytes.
type worker struct {
	pid     int
	data    int64 // what RLIMIT_DATA counts
	touched int64 // the part of data that takes memory
}

// room is how much the workers may still take: of a limit of 1000, 700 of them used, it
// is 100.
func room(limit, used int64) int64 { return max(0, limit-limit/100*reserved-used) }

// limits gives the limit of each worker's data: each may grow by an equal part of what is
// free. A worker can begin to use what it has asked for without asking again, so that
// part of its data counts as growth.
//
//	free  data  touched  limit
//	100   500   500      600
//	100   500   470      570
//	100   500   300      500   the worker may use what it has
func limits(free int64, workers []worker) []int64 {
	all := make([]int64, len(workers))
	for i, w := range workers {
		growth := free/int64(len(workers)) - max(0, w.data-w.touched)
		all[i] = w.data + max(0, growth)
	}
	return all
}
