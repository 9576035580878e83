package nginxgen

import (
	"bytes"
	"fmt"

	crossplane "github.com/nginxinc/nginx-go-crossplane"
)

// directives is a list of nginx directives with their blocks.
type directives = crossplane.Directives

// line makes a directive that ends with a semicolon.
func line(name string, args ...string) *crossplane.Directive {
	return &crossplane.Directive{Directive: name, Args: args}
}

// block makes a directive that holds other directives.
func block(name string, args []string, body ...directives) *crossplane.Directive {
	all := directives{}
	for _, part := range body {
		all = append(all, part...)
	}
	return &crossplane.Directive{Directive: name, Args: args, Block: all}
}

// mapping makes a map from source to variable; pairs alternate key and value.
func mapping(source, variable string, pairs ...string) *crossplane.Directive {
	return block("map", []string{source, variable}, pairLines(pairs))
}

// volatileMapping makes a map that nginx evaluates at each use: its source
// changes when a request moves from new to old.
func volatileMapping(source, variable string, pairs ...string) *crossplane.Directive {
	return block("map", []string{source, variable}, directives{line("volatile")}, pairLines(pairs))
}

func pairLines(pairs []string) directives {
	lines := directives{}
	for i := 0; i < len(pairs); i += 2 {
		lines = append(lines, line(pairs[i], pairs[i+1]))
	}
	return lines
}

func comment(text string) *crossplane.Directive {
	text = " " + text
	return &crossplane.Directive{Directive: "#", Comment: &text, Line: 1}
}

// render writes the directives as the text of a config file.
func render(config directives) ([]byte, error) {
	var out bytes.Buffer
	err := crossplane.Build(&out, crossplane.Config{Parsed: config}, &crossplane.BuildOptions{Indent: 4})
	if err != nil {
		return nil, fmt.Errorf("write the nginx config: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
