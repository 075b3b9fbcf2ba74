package config

import (
	"fmt"
	"strings"
)

// unknown says that there is no key at path, and which known key or section may be meant.
func unknown(path string) string {
	if len(path) > 100 {
		return "unknown key " + quote(path)
	}
	near := nearest(path)
	switch near {
	case "":
		return fmt.Sprintf("unknown key %q", path)
	case path: // dotted or tagged in the file
		return fmt.Sprintf("unknown key %q: write its plain name, indented below its section", path)
	}
	return fmt.Sprintf("unknown key %q, did you mean %q?", path, near)
}

// nearest is the known path with the fewest edits from path, or "" if all take too many. One of
// the same name in another section comes first.
func nearest(path string) string {
	lower := strings.ToLower(path)
	name := lower[strings.LastIndexByte(lower, '.')+1:]
	best, fewest := "", min(len(name), 3+len(path)/8) // as many edits are no typo any more
	for _, known := range settings.paths {
		edits := distance(lower, known)
		if strings.HasSuffix("."+known, "."+name) {
			edits -= 1000 // more than any path has
		}
		if edits < fewest {
			best, fewest = known, edits
		}
	}
	return best
}

// distance is the Levenshtein distance: the fewest single-byte insertions, deletions and
// replacements that make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // from the first i bytes of a to the first j of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
