package health

// Result gives the result of a target; the zero result of an unknown one.
func (c *Checker) Result(key Key) result {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		return e.result
	}
	return result{}
}

// Results gives the results of all targets.
func (c *Checker) Results() map[Key]result {
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
