package data

import (
	"bytes"
	"fmt"
	"strings"
)

// scanList indexes the images of a list: lines "path label", with paths from the data set's folder on or absolute.
func scanList(s Set, origin, name string) (*Index, error) {
	ids, err := s.numberedClasses()
	if err != nil {
		return nil, err
	}
	c, err := containerAt(s.Dir, name)
	if err != nil {
		return nil, err
	}
	path := join(s.Dir, name)
	text, err := readText(path, maxTextBytes)
	if err != nil {
		return nil, err
	}
	samples, err := parseList(text, len(ids))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadData, path, err)
	}
	return newIndex(s.Dir, origin, ids, []container{c}, samples)
}

// parseList reads the lines of a list. The label is what follows the last blank, so that paths may have blanks.
func parseList(text []byte, classes int) ([]sample, error) {
	var samples []sample
	for line := range bytes.Lines(text) {
		n := len(samples) + 1
		row := strings.TrimRight(string(line), "\r\n")
		at := strings.LastIndexAny(row, " \t")
		if at < 1 || strings.TrimSpace(row[:at]) == "" || !isPrintable(row[:at]) {
			return nil, fmt.Errorf("line %d is %.80q, want a path and a label", n, row)
		}
		label, err := parseLabel(row[at+1:], classes)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		samples = append(samples, sample{name: strings.TrimRight(row[:at], " \t"), in: -1, label: label})
	}
	return samples, nil
}
