package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// source is a kernel file and what it includes.
type source struct {
	stem    string // relu of relu.cu
	text    []byte
	headers []byte // hash over all that it includes, directly or not
}

// include finds the name in an #include.
var include = regexp.MustCompile(`(?m)^\s*#\s*include\s*[<"]([^>"]+)[>"]`)

// readSources reads the kernel files in folder, in the order of their names. Headers lie there or in cuda.
func readSources(folder, cuda string) ([]source, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.cu"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s has no .cu files: run this in the root of the repository", folder)
	}
	slices.Sort(paths)
	var sources []source
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		headers := sha256.New()
		seen := map[string]bool{}
		var follow func(text []byte)
		follow = func(text []byte) {
			for _, m := range include.FindAllSubmatch(text, -1) {
				name := string(m[1])
				if seen[name] {
					continue
				}
				seen[name] = true
				// A header that is in neither folder is included under a condition that does not hold here.
				for _, in := range []string{folder, cuda} {
					if text, err := os.ReadFile(filepath.Join(in, name)); err == nil {
						fmt.Fprintf(headers, "%s %d\n%s", name, len(text), text)
						follow(text)
						break
					}
				}
			}
		}
		follow(text)
		stem := strings.TrimSuffix(filepath.Base(path), ".cu")
		sources = append(sources, source{stem, text, headers.Sum(nil)})
	}
	return sources, nil
}

// key names what s compiles to: the same key, the same result.
func (s source) key(t target, version string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%v\n%s\n%x\n%s", version, fixed, t.name, s.headers, s.text)
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}
