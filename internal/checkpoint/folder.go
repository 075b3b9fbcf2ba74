package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The names within a run's folder.
const (
	lastLink   = "last"
	bestLink   = "best"
	tempPrefix = ".tmp-"
)

// checkpointName matches the folders of checkpoints. A position that is saved again, as after
// resuming, gets a folder of its own, epoch-0003.2: the one that is there is never touched.
var checkpointName = regexp.MustCompile(`^(epoch-\d{4,}|step-\d{8,})(\.\d+)?$`)

// Found is the outcome of Newest.
type Found struct {
	Path    string  // the checkpoint's folder; "" if the run has none yet
	State   State   // verified
	Skipped []error // for each damaged checkpoint that was passed over, what is wrong with it
}

// Newest loads the checkpoint saved last in a run's folder. If it is damaged, it falls back
// to the one saved before it, and so on, and says which were skipped and why. A folder without
// checkpoints, or no folder, gives an empty path; that all checkpoints are damaged is an error,
// which wraps ErrBad.
func Newest(dir string) (Found, error) {
	l, err := list(disk{}, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Found{}, nil
	}
	if err != nil {
		return Found{}, fmt.Errorf("look for checkpoints: %w", err)
	}
	found := Found{Skipped: l.damaged}
	for _, c := range slices.Backward(l.checkpoints) {
		path := filepath.Join(dir, c.name)
		s, err := Load(path)
		if err == nil {
			found.Path, found.State = path, s
			return found, nil
		}
		found.Skipped = append(found.Skipped, err)
	}
	if len(found.Skipped) > 0 {
		return found, fmt.Errorf("%w: %s: no checkpoint is intact: %w", ErrBad, dir, errors.Join(found.Skipped...))
	}
	return found, nil
}

// listing is what a run's folder holds.
type listing struct {
	names       []string    // of everything
	checkpoints []candidate // those with an intact manifest, in the order they were saved
	damaged     []error     // for each of the other checkpoints, what is wrong with it
}

// candidate is a checkpoint of which only the manifest was read.
type candidate struct {
	name     string
	manifest Manifest
}

// list reads a run's folder.
func list(fsys fileSystem, dir string) (listing, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return listing{}, err
	}
	var l listing
	for _, e := range entries {
		l.names = append(l.names, e.Name())
		if !e.IsDir() || !checkpointName.MatchString(e.Name()) {
			continue
		}
		m, err := loadManifest(fsys, filepath.Join(dir, e.Name()))
		if err != nil {
			l.damaged = append(l.damaged, err)
			continue
		}
		l.checkpoints = append(l.checkpoints, candidate{e.Name(), m})
	}
	slices.SortStableFunc(l.checkpoints, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.manifest.Serial, b.manifest.Serial), a.manifest.Created.Compare(b.manifest.Created))
	})
	return l, nil
}

// nextSerial follows the highest one of the folder.
func (l listing) nextSerial() int {
	if len(l.checkpoints) == 0 {
		return 1
	}
	return l.checkpoints[len(l.checkpoints)-1].manifest.Serial + 1
}

// freeName is the name of a checkpoint saved where m stands.
func (l listing) freeName(m Manifest) string {
	base := fmt.Sprintf("epoch-%04d", m.Epoch)
	if m.Batch > 0 {
		base = fmt.Sprintf("step-%08d", m.GlobalStep)
	}
	name := base
	for i := 2; slices.Contains(l.names, name); i++ {
		name = fmt.Sprintf("%s.%d", base, i)
	}
	return name
}

// last and best are the checkpoints that the links should point to, "" for none.
func (l listing) last() string {
	return l.newest(func(Manifest) bool { return true })
}

func (l listing) best() string {
	return l.newest(func(m Manifest) bool { return m.IsBest })
}

func (l listing) newest(is func(Manifest) bool) string {
	for _, c := range slices.Backward(l.checkpoints) {
		if is(c.manifest) {
			return c.name
		}
	}
	return ""
}

// strays are the leftovers of saves that were cut short.
func (l listing) strays() []string {
	return slices.DeleteFunc(slices.Clone(l.names), func(name string) bool { return !strings.HasPrefix(name, tempPrefix) })
}
