package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// parseHeader reads the JSON header of a safetensors file; entries are sorted by offset. It
// walks the tokens because decoding into structs would let duplicate names pass.
func parseHeader(text []byte) ([]entry, error) {
	if len(text) == 0 || text[0] != '{' || !utf8.Valid(text) || !json.Valid(text) {
		return nil, errors.New("no JSON object in UTF-8")
	}
	p := headerParser{json.NewDecoder(bytes.NewReader(text))}
	p.UseNumber()
	var entries []entry
	err := p.object(func(name string) error {
		if name == metadataKey {
			return p.object(func(string) error { _, err := p.text(); return err })
		}
		e, err := p.entry(name)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		if len(entries) == maxTensors {
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.name, b.name))
	})
	return entries, nil
}

// headerParser walks the tokens of text that is known to be valid JSON.
type headerParser struct{ *json.Decoder }

// object calls each for every key of an object; each reads the value.
func (p headerParser) object(each func(key string) error) error {
	if err := p.delimiter('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for p.More() {
		key, err := p.text()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%q stands twice", key)
		}
		seen[key] = true
		if err := each(key); err != nil {
			return err
		}
	}
	return p.delimiter('}')
}

// entry reads the description of one tensor.
func (p headerParser) entry(name string) (entry, error) {
	e := entry{name: name}
	fields := 0
	err := p.object(func(key string) (err error) {
		fields++
		switch key {
		case "dtype":
			e.dtype, err = p.text()
		case "shape":
			e.shape, err = p.integers()
		case "data_offsets":
			var offsets []int
			if offsets, err = p.integers(); err == nil && len(offsets) != 2 {
				err = fmt.Errorf("data_offsets: want 2 numbers, have %d", len(offsets))
			}
			if err == nil {
				e.begin, e.end = int64(offsets[0]), int64(offsets[1])
			}
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		return err
	})
	if err == nil && fields != 3 {
		err = errors.New("want dtype, shape and data_offsets")
	}
	return e, err
}

// integers reads an array of at most maxRank integers, none negative.
func (p headerParser) integers() ([]int, error) {
	if err := p.delimiter('['); err != nil {
		return nil, err
	}
	var out []int
	for p.More() {
		t, err := p.Token()
		if err != nil {
			return nil, err
		}
		number, ok := t.(json.Number)
		if !ok {
			return nil, fmt.Errorf("want an integer, have %v", t)
		}
		x, err := strconv.ParseUint(number.String(), 10, strconv.IntSize-1)
		if err != nil {
			return nil, fmt.Errorf("want an integer of at least 0, have %s", number)
		}
		if len(out) == maxRank {
			return nil, fmt.Errorf("more than %d dimensions", maxRank)
		}
		out = append(out, int(x))
	}
	return out, p.delimiter(']')
}

func (p headerParser) text() (string, error) {
	t, err := p.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("want a string, have %v", t)
	}
	return s, nil
}

func (p headerParser) delimiter(want json.Delim) error {
	t, err := p.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("want %v, have %v", want, t)
	}
	return nil
}
