package page

// Form is what the form of explain was filled with.
type Form struct{ Service, Host, Path, Headers, Cookies, IP string }

// Answer is what the form gets: a decision, or what is wrong with the question.
type Answer struct {
	Problem string
	Side    string // "old", "new", "none", or "open: ..."
	Facts   []Fact
}

// Fact is a line of an answer.
type Fact = fact
