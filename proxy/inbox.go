package proxy

import "sync"

// inbox holds the tasks that other goroutines have for the agent loop, in
// order. put never blocks.
type inbox struct {
	wake  chan struct{}
	mu    sync.Mutex
	tasks []func(*agentLoop)
}

func (i *inbox) put(task func(*agentLoop)) {
	i.mu.Lock()
	i.tasks = append(i.tasks, task)
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default: // the loop has not yet read the previous signal
	}
}

func (i *inbox) takeAll() []func(*agentLoop) {
	i.mu.Lock()
	defer i.mu.Unlock()
	tasks := i.tasks
	i.tasks = nil
	return tasks
}
