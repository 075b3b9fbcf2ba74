package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// maxProblems is how many problems are listed; a file with more is not a config.
const maxProblems = 50

// reader gathers the values of a file and its overrides, and every problem on the way. Values
// are read off YAML nodes: these know their line and their type, and show a key given twice.
type reader struct {
	name     string            // of the file
	values   *viper.Viper      // defaults and what was given
	origin   map[string]string // where a key's value was given: "file:line" or "--set key=value"
	wrong    map[string]bool   // keys whose value was refused
	problems []error
}

func newReader(name string) *reader {
	r := &reader{name: name, values: viper.New(), origin: map[string]string{}, wrong: map[string]bool{}}
	for _, k := range settings.keys {
		if k.fallback != nil {
			r.values.SetDefault(k.path, k.fallback)
		}
	}
	return r
}

// fail records a problem; where is "file:line", "file" or "--set key=value".
func (r *reader) fail(where, format string, args ...any) {
	switch n := len(r.problems); {
	case n < maxProblems:
		r.problems = append(r.problems, fmt.Errorf("%w: %s: %w", ErrConfig, where, fmt.Errorf(format, args...)))
	case n == maxProblems:
		r.problems = append(r.problems, fmt.Errorf("%w: %s: more problems, not listed", ErrConfig, r.name))
	}
}

// file reads the text of a config.
func (r *reader) file(text []byte) {
	n, err := parseYAML(text)
	if err != nil {
		r.fail(r.name, "%w", err)
		r.distrust("")
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" { // nothing but comments
		return
	}
	r.section("", n)
}

// section reads the keys of a mapping; path is its own, "" for the top of the file.
func (r *reader) section(path string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		r.fail(r.line(n), "%s: want a mapping of keys to values, have %s", cmp.Or(path, "top level"), describe(n))
		r.distrust(path)
		return
	}
	lines := map[string]int{} // of the keys so far
	for i := 0; i < len(n.Content) && len(r.problems) <= maxProblems; i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		child := join(path, name.Value)
		k, isKey := settings.byPath[child]
		// A dotted name would reach into another section.
		plain := name.Kind == yaml.ScalarNode && name.ShortTag() == "!!str" && !strings.Contains(name.Value, ".")
		switch {
		case !plain || !isKey && !settings.sections[child]:
			r.fail(r.line(name), "%s", unknown(child))
			continue
		case lines[child] > 0:
			r.fail(r.line(name), "duplicate key %q, given before in line %d", child, lines[child])
			continue
		}
		lines[child] = name.Line
		if isKey {
			r.value(r.line(value), k, value)
		} else {
			r.section(child, value)
		}
	}
}

// distrust marks every key of an unreadable section, so that nothing is said of their defaults.
func (r *reader) distrust(section string) {
	for _, k := range settings.keys {
		if section == "" || strings.HasPrefix(k.path, section+".") {
			r.wrong[k.path] = true
		}
	}
}

func (r *reader) line(n *yaml.Node) string { return fmt.Sprintf("%s:%d", r.name, n.Line) }

// value reads the value of a known key.
func (r *reader) value(where string, k key, n *yaml.Node) {
	v, ok := k.decode(n)
	if !ok {
		r.wrong[k.path] = true
		r.fail(where, "%s: want %s, have %s", k.path, k.want(), describe(n))
		return
	}
	r.origin[k.path] = where
	r.values.Set(k.path, v)
}

// set reads one override.
func (r *reader) set(s string) {
	where := "--set " + escape(s)
	path, text, ok := strings.Cut(s, "=")
	k, known := settings.byPath[path]
	switch {
	case !ok:
		r.fail(where, "want key=value, such as train.epochs=1")
		return
	case settings.sections[path]:
		r.fail(where, "%s is a section: set its keys one by one", path)
		return
	case !known:
		r.fail(where, "%s", unknown(path))
		return
	}
	n, err := parseYAML([]byte(text))
	if err != nil {
		r.wrong[path] = true
		r.fail(where, "%s: want %s: %w", path, k.want(), err)
		return
	}
	r.value(where, k, n)
}

// config is the config that was read, or every problem found.
func (r *reader) config() (Config, error) {
	for _, k := range settings.keys {
		if k.fallback == nil && r.origin[k.path] == "" && !r.wrong[k.path] {
			r.fail(r.name, "key %q is required", k.path)
		}
	}
	var cfg Config
	if err := r.values.UnmarshalExact(&cfg); err != nil {
		r.fail(r.name, "%w", err)
	}
	r.check(cfg)
	if len(r.problems) > 0 {
		return Config{}, errors.Join(r.problems...)
	}
	return cfg, nil
}

// parseYAML parses text of one YAML document; a text without one is a null.
func parseYAML(text []byte) (*yaml.Node, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("longer than %d KiB", maxBytes>>10)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	if err := d.Decode(&first); errors.Is(err, io.EOF) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, nil
	} else if err != nil {
		return nil, err
	}
	if err := d.Decode(&second); err == nil {
		return nil, fmt.Errorf("line %d: a second YAML document", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return first.Content[0], nil
}
