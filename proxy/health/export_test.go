package health

// Result gives what is known of a target now; the zero Result of an unknown
// one.
func (c *Checker) Result(key Key) result {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		return e.result
	}
	return result{}
}

// Snapshot gives all results.
func (c *Checker) Snapshot() map[Key]result {
	c.mu.Lock()
	defer c.mu.Unlock()
	results := make(map[Key]result, len(c.entries))
	for key, e := range c.entries {
		if e.wanted {
			results[key] = e.result
		}
	}
	return results
}
