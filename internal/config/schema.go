package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// key is one setting, read off a field of Config.
type key struct {
	path     string // e.g. "train.lr"
	field    []int  // index path of its field in Config
	typ      reflect.Type
	bounds   interval // numbers and lists of numbers
	oneOf    []string // strings; nil: any
	fallback any      // the default, of type typ; nil: the key is required
	free     bool     // a resumed run may have another value
}

// settings are all keys in the order of Config's fields, and the sections they lie in.
var settings = schemaOf(reflect.TypeFor[Config]())

type schema struct {
	keys     []key
	byPath   map[string]key
	sections map[string]bool
	paths    []string // of sections and keys
}

// schemaOf reads the tags of a struct. Like regexp.MustCompile it panics on a malformed one,
// which only a change of this package's source can bring about.
func schemaOf(t reflect.Type) schema {
	s := schema{byPath: map[string]key{}, sections: map[string]bool{}}
	s.add("", nil, t)
	return s
}

func (s *schema) add(section string, index []int, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		path := join(section, f.Tag.Get("mapstructure"))
		s.paths = append(s.paths, path)
		field := slices.Concat(index, []int{i})
		if f.Type.Kind() == reflect.Struct {
			s.sections[path] = true
			s.add(path, field, f.Type)
			continue
		}
		k, err := newKey(path, field, f)
		if err != nil {
			panic(fmt.Sprintf("config.Config: tags of %s: %v", path, err))
		}
		s.keys = append(s.keys, k)
		s.byPath[path] = k
	}
}

func newKey(path string, field []int, f reflect.StructField) (key, error) {
	k := key{path: path, field: field, typ: f.Type, free: f.Tag.Get("resume") == "free"}
	var err error
	if list := f.Tag.Get("oneof"); list != "" {
		k.oneOf = strings.Split(list, ", ")
	}
	if kind := f.Type.Kind(); kind != reflect.Bool && kind != reflect.String {
		if k.bounds, err = parseInterval(f.Tag.Get("range")); err != nil {
			return key{}, err
		}
	}
	if text, ok := f.Tag.Lookup("default"); ok {
		n, err := parseYAML([]byte(text))
		if err != nil {
			return key{}, err
		}
		if k.fallback, ok = k.decode(n); !ok {
			return key{}, fmt.Errorf("default %q: want %s", text, k.want())
		}
	}
	return k, nil
}

// join is the path of a key in a section; the top of the file is section "".
func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}

// interval is a range of numbers, an end either closed "[0, 1]" or open "(0, 1)".
type interval struct {
	text              string
	low, high         float64
	openLow, openHigh bool
}

var intervalForm = regexp.MustCompile(`^([\[(])(\S+), (\S+)([\])])$`)

func parseInterval(text string) (interval, error) {
	m := intervalForm.FindStringSubmatch(text)
	if m == nil {
		return interval{}, fmt.Errorf("range %q: want an interval such as [0, 1)", text)
	}
	i := interval{text: text, openLow: m[1] == "(", openHigh: m[4] == ")"}
	var err error
	if i.low, err = strconv.ParseFloat(m[2], 64); err != nil {
		return interval{}, fmt.Errorf("range %q: %w", text, err)
	}
	if i.high, err = strconv.ParseFloat(m[3], 64); err != nil {
		return interval{}, fmt.Errorf("range %q: %w", text, err)
	}
	return i, nil
}

// contains reports whether x lies in the interval, which NaN never does. Networks compute in
// float32, so x must lie in it after rounding too: a std of 1e-50 would become 0.
func (i interval) contains(x float64) bool {
	within := func(x float64) bool {
		return (x > i.low || x == i.low && !i.openLow) && (x < i.high || x == i.high && !i.openHigh)
	}
	return within(x) && within(float64(float32(x)))
}
