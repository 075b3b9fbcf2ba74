package cuda

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"senet/internal/kernels"
)

// stopwatch measures by a table of seconds, by engine; the others fail.
type stopwatch struct {
	seconds map[string]int
	ours    int // seconds of our own kernels; 0: an hour
	asked   []string
}

func (s *stopwatch) own() (time.Duration, error) {
	if s.ours == 0 {
		return time.Hour, nil
	}
	return time.Duration(s.ours) * time.Second, nil
}

func (s *stopwatch) measure(pl *convPlan) (time.Duration, error) {
	s.asked = append(s.asked, pl.name())
	if n, ok := s.seconds[pl.name()]; ok {
		return time.Duration(n) * time.Second, nil
	}
	return 0, errors.New("it stops")
}

func choice(t *testing.T, c *cudnn, p convPattern, limit int64, s *stopwatch) string {
	t.Helper()
	pl, ok := c.remembered(p, limit)
	if !ok {
		var err error
		if pl, err = c.choose(p, limit, s.own, s.measure); err != nil {
			t.Fatal(err)
		}
	}
	if pl == nil {
		return "ours"
	}
	defer pl.destroy()
	return pl.name()
}

// TestChoose: the fastest wins, an engine that fails loses, and the choice is read back by the next process.
func TestChoose(t *testing.T) {
	f := newFakeCuDNN(t)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(t.TempDir(), "cache"))
	p := conv3x3(convForward, kernels.BF16)
	s := &stopwatch{seconds: map[string]int{"eng41_k2=3_k3=13": 3, "eng42_k2=3": 2, "eng1": 2}}
	c := f.open(t)
	if note := c.remember("NVIDIA H100 80GB HBM3/MIG"); note != "" {
		t.Error(note)
	}
	if got := choice(t, c, p, 1<<20, s); got != "eng42_k2=3" || len(s.asked) != 4 {
		t.Errorf("chose %s of %v", got, s.asked)
	}
	folder, err := os.ReadDir(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "senet/cudnn"))
	if err != nil || len(folder) != 1 || folder[0].Name() != "NVIDIA_H100_80GB_HBM3_MIG-9.28.0.json" {
		t.Errorf("cache: %v, %v", folder, err)
	}

	other := f.open(t)
	s = &stopwatch{seconds: s.seconds}
	if note := other.remember("NVIDIA H100 80GB HBM3/MIG"); note != "" {
		t.Error(note)
	}
	if got := choice(t, other, p, 1<<20, s); got != "eng42_k2=3" || len(s.asked) != 0 {
		t.Errorf("chose %s, measured %v again", got, s.asked)
	}
	p.relu = true
	if choice(t, other, p, 1<<20, s); len(s.asked) != 4 {
		t.Errorf("another convolution was not measured: %v", s.asked)
	}
	if left := leftOver(f.lines(t)); len(left) != 1 {
		t.Errorf("not freed: %v", left)
	}
}

// TestChooseOwnKernels: where they are as fast as the best engine they run, also in the next process.
func TestChooseOwnKernels(t *testing.T) {
	f := newFakeCuDNN(t)
	c := f.open(t)
	c.cache = loadConvCache(filepath.Join(t.TempDir(), "cache.json"))
	p := conv3x3(convForward, kernels.BF16)
	s := &stopwatch{seconds: map[string]int{"eng41_k2=3_k3=13": 3, "eng1": 2}, ours: 2}
	if got := choice(t, c, p, 1<<20, s); got != "ours" {
		t.Errorf("chose %s", got)
	}
	c.cache = loadConvCache(c.cache.path)
	if got := choice(t, c, p, 1<<20, &stopwatch{}); got != "ours" {
		t.Errorf("the next time: %s", got)
	}
	if left := leftOver(f.lines(t)); len(left) != 1 {
		t.Errorf("not freed: %v", left)
	}
}

// TestChooseAnew: a choice that no longer fits is made anew.
func TestChooseAnew(t *testing.T) {
	c := newFakeCuDNN(t).open(t)
	p := conv3x3(convForward, kernels.BF16)
	for name, entry := range map[string]chosenEngine{
		"engine that is gone":    {convEngine{Index: 99}, 1},
		"workspace":              {convEngine{Index: 41}, 1},
		"more knobs than engine": {convEngine{Index: 1, Knobs: make([]knob, 100)}, 1},
	} {
		c.cache = loadConvCache(filepath.Join(t.TempDir(), "cache.json"))
		c.cache.chosen[p.String()] = entry
		s := &stopwatch{seconds: map[string]int{"eng50": 1}}
		if got := choice(t, c, p, 64, s); got != "eng50" || c.cache.chosen[p.String()].Index != 50 {
			t.Errorf("%s: chose %s", name, got)
		}
	}
	if _, ok := c.remembered(p, 0); !ok {
		t.Error("the choice is not remembered")
	}
	c.cache = nil
	if _, ok := c.remembered(p, 0); ok {
		t.Error("a choice is remembered without a cache")
	}
	if _, err := c.choose(p, 0, (&stopwatch{}).own, (&stopwatch{}).measure); err == nil || !strings.Contains(err.Error(), "it stops") {
		t.Errorf("no engine runs: %v", err)
	}
}

// TestDamagedCache: it costs a search and a note, and is replaced.
func TestDamagedCache(t *testing.T) {
	c := newFakeCuDNN(t).open(t)
	p := conv3x3(convForward, kernels.BF16)
	for name, text := range map[string]string{
		"empty": "", "cut off": `{"version":2,"engines":{"a":{"eng`, "another version": `{"version":0}`, "no object": `[]`,
		"a wrong type": `{"version":2,"engines":{"a":{"engine":"x"}}}`,
	} {
		path := filepath.Join(t.TempDir(), "cache.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.cache = loadConvCache(path); !strings.Contains(c.cache.note, path+" is ignored") {
			t.Errorf("%s: note %q", name, c.cache.note)
		}
		choice(t, c, p, 1<<20, &stopwatch{seconds: map[string]int{"eng42_k2=3": 1}})
		again := loadConvCache(path)
		if e := again.chosen[p.String()]; again.note != "" || e.Index != 42 || e.Nanoseconds != 1e9 || len(e.Knobs) != 1 {
			t.Errorf("%s: then %+v, note %q", name, again.chosen, again.note)
		}
	}
	path := filepath.Join(t.TempDir(), "null.json")
	if err := os.WriteFile(path, []byte(`{"version":2,"engines":null}`), 0o644); err != nil {
		t.Fatal(err)
	}
	c.cache = loadConvCache(path)
	choice(t, c, p, 1<<20, &stopwatch{seconds: map[string]int{"eng42_k2=3": 1}})
}

// TestCacheThatCannotBeWritten: the choice stands, with a note.
func TestCacheThatCannotBeWritten(t *testing.T) {
	c := newFakeCuDNN(t).open(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c.cache = &convCache{path: filepath.Join(file, "cache.json"), chosen: map[string]chosenEngine{}}
	choice(t, c, conv3x3(convForward, kernels.BF16), 1<<20, &stopwatch{seconds: map[string]int{"eng50": 1}})
	if !strings.Contains(c.cache.note, "is not kept") {
		t.Errorf("note %q", c.cache.note)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if note := c.remember("a"); !strings.Contains(note, "is not kept") {
		t.Errorf("note %q without a home", note)
	}
}
