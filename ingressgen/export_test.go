package ingressgen

// AnnotationsOfOthers gives the annotations of other controllers that are checked, as
// Markdown: those about protocols, and those that name Services.
func AnnotationsOfOthers() (speak, name []string) {
	for _, kind := range foreignProtocols {
		for _, annotation := range kind.names {
			speak = append(speak, "`"+annotation+"`")
		}
	}
	for _, annotation := range namingAnnotations {
		name = append(name, "`"+annotation+"`")
	}
	return speak, name
}
