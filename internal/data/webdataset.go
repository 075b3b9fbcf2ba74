package data

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxShards bounds the shards of a pattern.
const maxShards = 1 << 16

var braces = regexp.MustCompile(`\{([0-9]{1,9})\.\.([0-9]{1,9})\}`)

// expandBraces writes out the first range of numbers in a pattern, {000..099}, and then the next; every number is as wide as the first.
func expandBraces(pattern string) ([]string, error) {
	m := braces.FindStringSubmatchIndex(pattern)
	if m == nil {
		return []string{pattern}, nil
	}
	first, last := pattern[m[2]:m[3]], pattern[m[4]:m[5]]
	from, _ := strconv.Atoi(first) // nine digits at most
	to, _ := strconv.Atoi(last)
	if from > to || to-from >= maxShards {
		return nil, fmt.Errorf("%s: want an ascending range of at most %d numbers", pattern[m[0]:m[1]], maxShards)
	}
	var all []string
	for n := from; n <= to; n++ {
		rest, err := expandBraces(fmt.Sprintf("%s%0*d%s", pattern[:m[0]], len(first), n, pattern[m[1]:]))
		if err != nil {
			return nil, err
		}
		if all = append(all, rest...); len(all) > maxShards {
			return nil, fmt.Errorf("%s: stands for more than %d shards", pattern, maxShards)
		}
	}
	return all, nil
}

// shards lists the tars of a pattern: ranges in braces, all of whose shards must be there, and the wildcards of the shell.
func (s Set) shards(pattern string) ([]string, error) {
	names, err := expandBraces(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: shards %w", ErrBadData, err)
	}
	var all []string
	for _, name := range names {
		if !strings.ContainsAny(name, "*?[") {
			all = append(all, name)
			continue
		}
		found, err := filepath.Glob(join(s.Dir, name))
		if err != nil {
			return nil, fmt.Errorf("%w: shards %s: %w", ErrBadData, name, err)
		}
		for _, f := range found {
			if rel, err := filepath.Rel(s.Dir, f); err == nil && filepath.IsLocal(rel) {
				f = rel
			}
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: no shards match %s", ErrBadData, join(s.Dir, pattern))
	}
	return all, nil
}

// scanWebDataset indexes shards: tars in which the members key.jpg (or another image's extension) and key.cls, the label
// in decimal, are one sample. Other members are left out.
func scanWebDataset(s Set, origin, pattern string) (*Index, error) {
	ids, err := s.numberedClasses()
	if err != nil {
		return nil, err
	}
	names, err := s.shards(pattern)
	if err != nil {
		return nil, err
	}
	var containers []container
	var samples []sample
	for i, name := range names {
		t, err := openTar(s.Dir, name)
		if err != nil {
			return nil, err
		}
		found, err := t.shard(int32(i), len(ids))
		if err := errors.Join(err, t.Close()); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrBadData, t.Name(), err)
		}
		containers = append(containers, t.container)
		samples = append(samples, found...)
	}
	return newIndex(s.Dir, origin, ids, containers, samples)
}

// shard lists the samples of a shard, which is container in of its index.
func (t tarFile) shard(in int32, classes int) ([]sample, error) {
	var found []sample
	byKey := map[string]int{}
	at := func(key string) *sample {
		i, ok := byKey[key]
		if !ok {
			i = len(found)
			byKey[key] = i
			found = append(found, sample{name: key, in: in, label: -1, size: -1})
		}
		return &found[i]
	}
	err := scanTar(t, t.size, func(name string, offset, size int64) error {
		base := path.Base(name)
		stem, extension, _ := strings.Cut(base, ".")
		key := strings.TrimSuffix(name, base) + stem
		switch {
		case strings.EqualFold(extension, "cls"):
			label, err := t.label(offset, size, classes)
			if s := at(key); err == nil && s.label >= 0 {
				err = errors.New("comes twice")
			} else {
				s.label = label
			}
			return err
		case slices.Contains(imageExtensions, "."+strings.ToLower(extension)):
			s := at(key)
			if s.size >= 0 {
				return errors.New("is the second image of its key")
			}
			s.name, s.offset, s.size = name, offset, size
			return checkImageSize(size)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, s := range found {
		if s.size < 0 {
			return nil, fmt.Errorf("%s.cls: has no image", s.name)
		}
		if s.label < 0 {
			return nil, fmt.Errorf("%s: has no label: %s.cls is missing", s.name, strings.TrimSuffix(s.name, path.Ext(s.name)))
		}
	}
	return found, nil
}

// label reads a label.
func (t tarFile) label(offset, size int64, classes int) (int32, error) {
	var b [16]byte
	if size > int64(len(b)) {
		return 0, fmt.Errorf("has %d bytes, want a label", size)
	}
	if _, err := t.ReadAt(b[:size], offset); err != nil {
		return 0, err
	}
	return parseLabel(strings.TrimSpace(string(b[:size])), classes)
}

// parseLabel reads a label of one of so many classes.
func parseLabel(text string, classes int) (int32, error) {
	label, err := strconv.ParseUint(text, 10, 31)
	if err != nil || label >= uint64(classes) {
		return 0, fmt.Errorf("label is %.20q, want 0 to %d, for model.classes %d", text, classes-1, classes)
	}
	return int32(label), nil
}
