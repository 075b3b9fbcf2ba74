package cuda

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// convCache keeps on disk which engine was the fastest for each convolution, for one device and version of cuDNN. It
// never fails: what is wrong with the file stands in note, and costs another search.
type convCache struct {
	path   string
	chosen map[string]chosenEngine // by convPattern.String
	note   string
}

// chosenEngine is an entry of the file.
type chosenEngine struct {
	convEngine
	Nanoseconds int64 `json:"nanoseconds"` // of one run, as measured
}

// cacheFile is the file. Version changes when entries of before are no longer good.
type cacheFile struct {
	Version int                     `json:"version"`
	Engines map[string]chosenEngine `json:"engines"`
}

const cacheVersion = 2

// remember makes choose keep its choices in the user's cache folder, under the device's name. note says why it cannot,
// or that a file there was ignored.
func (c *cudnn) remember(device string) (note string) {
	folder, err := os.UserCacheDir()
	if err != nil {
		return fmt.Sprintf("the choice of convolutions is not kept: %v", err)
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r) {
			return r
		}
		return '_'
	}, device+"-"+c.version)
	c.cache = loadConvCache(filepath.Join(folder, "senet", "cudnn", name+".json"))
	return c.cache.note
}

func loadConvCache(path string) *convCache {
	c := &convCache{path: path, chosen: map[string]chosenEngine{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c
	}
	var f cacheFile
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err == nil && f.Version != cacheVersion {
		err = fmt.Errorf("version %d: want %d", f.Version, cacheVersion)
	}
	if err != nil {
		c.note = fmt.Sprintf("the choice of convolutions in %s is ignored: %v", path, err)
		return c
	}
	if f.Engines != nil {
		c.chosen = f.Engines
	}
	return c
}

// keep enters a choice and writes the file, whole or not at all.
func (c *convCache) keep(p convPattern, e chosenEngine) {
	c.chosen[p.String()] = e
	if err := c.write(); err != nil {
		c.note = fmt.Sprintf("the choice of convolutions is not kept: %v", err)
	}
}

func (c *convCache) write() error {
	text, err := json.MarshalIndent(cacheFile{cacheVersion, c.chosen}, "", " ")
	if err != nil {
		return err
	}
	folder := filepath.Dir(c.path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// ownKernels stands in the file for a convolution that our own kernels run faster than any engine.
var ownKernels = convEngine{Index: -1}

// mostMeasured is how many engines are timed for a convolution, those first that cuDNN expects to be the fastest: of some 30,
// as many as PyTorch takes (torch.backends.cudnn.benchmark_limit).
const mostMeasured = 10

// remembered prepares the engine that was chosen for p before, nil where that was our own kernels. It is not ok where there is no
// choice on disk or its engine is no longer there.
func (c *cudnn) remembered(p convPattern, limit int64) (_ *convPlan, ok bool) {
	if c.cache == nil {
		return nil, false
	}
	known, ok := c.cache.chosen[p.String()]
	if !ok || known.Index == ownKernels.Index {
		return nil, ok
	}
	plan, err := c.within(p, limit, known.convEngine)
	return plan, err == nil
}

// choose prepares an engine for p among those that need at most limit bytes of workspace: the one that took the least time by
// try, which runs it and refuses what it gets wrong; nil where our own kernels, timed by own, are faster. The choice is kept.
// Where own is nil it is the first that try takes, and not kept. Where try takes none, the error is the first, and errNoEngine
// unless that is a wrong result.
func (c *cudnn) choose(p convPattern, limit int64, own func() (time.Duration, error), try func(*convPlan) (time.Duration, error)) (*convPlan, error) {
	var best *convPlan
	var least time.Duration
	var failed error
	left := mostMeasured
	if own == nil {
		left = 1
	}
	err := c.search(p, limit, func(pl *convPlan) bool {
		took, err := try(pl)
		if err == nil {
			left--
		}
		if err != nil || best != nil && took >= least {
			if err != nil && failed == nil {
				failed = fmt.Errorf("%s, %s: %w", p, pl.name(), err)
			}
			pl.destroy()
			return left > 0
		}
		if best != nil {
			best.destroy()
		}
		best, least = pl, took
		return left > 0
	})
	if err != nil {
		return nil, err
	}
	switch {
	case best == nil && errors.Is(failed, errWrongResult):
		return nil, failed
	case best == nil:
		return nil, fmt.Errorf("%w %w", errNoEngine, failed)
	case own == nil:
		return best, nil
	}
	ours, err := own()
	if err != nil {
		best.destroy()
		return nil, fmt.Errorf("%s, our own kernels: %w", p, err)
	}
	chosen := chosenEngine{best.engine, least.Nanoseconds()}
	if ours <= least {
		best.destroy()
		best, chosen = nil, chosenEngine{ownKernels, ours.Nanoseconds()}
	}
	if c.cache != nil {
		c.cache.keep(p, chosen)
	}
	return best, nil
}
