package compare

import (
	"fmt"
	"os"
	"strings"

	"github.com/migration-proxy/migration-proxy/proxy/sampling"
)

// ParseHeaders reads headers as a user gives them: "Name: value", or @FILE with one a line,
// which keeps secrets out of the list of processes and of the shell's history.
func ParseHeaders(arguments []string) ([]sampling.Header, error) {
	var headers []sampling.Header
	for _, argument := range arguments {
		path, isFile := strings.CutPrefix(argument, "@")
		if !isFile {
			header, err := sampling.ParseHeader(argument)
			if err != nil {
				return nil, err
			}
			headers = append(headers, header)
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		ofFile, err := parseLines(path, string(text))
		if err != nil {
			return nil, err
		}
		headers = append(headers, ofFile...)
	}
	return headers, nil
}

func parseLines(path, text string) ([]sampling.Header, error) {
	var headers []sampling.Header
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		header, err := sampling.ParseHeader(line)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, i+1, err)
		}
		headers = append(headers, header)
	}
	return headers, nil
}
