package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

const (
	maxString = 4096 // bytes, as long as Linux allows a path to be
	maxList   = 16   // entries, as many as model.in_channels can ask for
)

// want says what the key's value must be.
func (k key) want() string {
	switch k.typ.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		if k.oneOf != nil {
			return "one of " + strings.Join(k.oneOf, ", ")
		}
		return fmt.Sprintf("a printable string of 1 to %d bytes", maxString)
	case reflect.Slice:
		kind := "numbers"
		if k.typ.Elem().Kind() == reflect.Int {
			kind = "integers"
		}
		return fmt.Sprintf("a list of 1 to %d %s in %s", maxList, kind, k.bounds.text)
	case reflect.Float64:
		return "a number in " + k.bounds.text
	}
	return "an integer in " + k.bounds.text
}

// decode reads the key's value from a node, or reports that it is not what the key wants. The
// YAML type must be right already: nothing is converted but an integer to the number it is.
func (k key) decode(n *yaml.Node) (any, bool) {
	if !hasType(n, k.typ) {
		return nil, false
	}
	p := reflect.New(k.typ)
	if err := n.Decode(p.Interface()); err != nil { // an integer that its type cannot hold
		return nil, false
	}
	return p.Elem().Interface(), k.allows(p.Elem())
}

// hasType reports whether a node is of the YAML type that t is written in.
func hasType(n *yaml.Node, t reflect.Type) bool {
	if t.Kind() == reflect.Slice {
		return n.Kind == yaml.SequenceNode && n.ShortTag() == "!!seq" && 0 < len(n.Content) && len(n.Content) <= maxList &&
			!slices.ContainsFunc(n.Content, func(e *yaml.Node) bool { return !hasType(e, t.Elem()) })
	}
	if n.Kind != yaml.ScalarNode {
		return false
	}
	tag := n.ShortTag()
	switch t.Kind() {
	case reflect.Bool:
		return tag == "!!bool"
	case reflect.String:
		return tag == "!!str"
	case reflect.Float64:
		return tag == "!!float" || tag == "!!int" && decimal.MatchString(n.Value)
	}
	return tag == "!!int" && decimal.MatchString(n.Value)
}

// decimal leaves out the other bases of YAML, where 010 is 8.
var decimal = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)

// allows reports whether v is in the key's range or one of its strings.
func (k key) allows(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Bool:
		return true
	case reflect.String:
		return k.allowsString(v.String())
	case reflect.Slice:
		for i := range v.Len() {
			if !k.allows(v.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Float64:
		return k.bounds.contains(v.Float())
	case reflect.Uint64:
		return k.bounds.contains(float64(v.Uint()))
	}
	return k.bounds.contains(float64(v.Int()))
}

func (k key) allowsString(s string) bool {
	if k.oneOf == nil {
		return s != "" && len(s) <= maxString && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
	}
	return slices.ContainsFunc(k.oneOf, func(option string) bool {
		stem, numbered := strings.CutSuffix(option, ":N")
		if !numbered {
			return s == option
		}
		number, ok := strings.CutPrefix(s, stem+":")
		return ok && ordinal.MatchString(number)
	})
}

var ordinal = regexp.MustCompile(`^(0|[1-9][0-9]{0,2})$`)

// describe says what a node is, for "want ..., have ...".
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return describeList(n)
	case yaml.AliasNode:
		return "an alias, which configs do not use"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!str":
		return "the string " + quote(n.Value)
	}
	return escape(n.Value)
}

// quote is s in quotes, cut at 60 characters, with no character that a terminal would act on.
func quote(s string) string { return fmt.Sprintf("%.60q", s) }

// escape is quote without the quotes.
func escape(s string) string {
	q := quote(s)
	return q[1 : len(q)-1]
}

// describeList shows a short list of plain values, and counts the entries of any other.
func describeList(n *yaml.Node) string {
	if len(n.Content) > maxList {
		return fmt.Sprintf("a list of %d entries", len(n.Content))
	}
	var entries []string
	for _, e := range n.Content {
		if e.Kind == yaml.SequenceNode {
			entries = append(entries, "a list")
		} else {
			entries = append(entries, describe(e))
		}
	}
	return "[" + strings.Join(entries, ", ") + "]"
}
