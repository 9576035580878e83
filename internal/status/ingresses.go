package status

// Ingresses are the opted-in Ingresses about which the watcher has something to say:
// paths that it does not rewrite, writes that the API server refuses, and what works
// in another way than the user may expect. Each text is also an Event on the Ingress.
type Ingresses struct {
	// Total is how many there are; Noted has the first of them, by namespace and name.
	Total int           `json:"total"`
	Noted []IngressNote `json:"noted"`
}

// IngressNote is what to know about one Ingress.
type IngressNote struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Phase     Phase  `json:"phase,omitempty"` // "" for an Ingress that has not opted in
	Text      string `json:"text"`
}

// ParseIngresses reads the data of ConfigMap migration-state. Without IngressesKey there
// are no notes. The error names the key.
func ParseIngresses(data map[string]string) (Ingresses, error) {
	return parse[Ingresses](data, IngressesKey)
}

// FormatIngresses is the content of IngressesKey.
func FormatIngresses(notes Ingresses) (string, error) {
	return text(notes, "write the notes about Ingresses")
}
