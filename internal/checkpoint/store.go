package checkpoint

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"gorgonia.org/tensor"
)

// Store saves checkpoints to a run's folder.
type Store struct {
	dir  string
	keep Keep
	fs   fileSystem
}

// Keep says which checkpoints stay besides the best one and the last one.
type Keep struct {
	Newest int // how many of the newest, at least 1
	Every  int // those that close an epoch whose number is a multiple of it; 0: none
}

// forGood reports whether m is of an epoch that is always kept.
func (k Keep) forGood(m Manifest) bool {
	return k.Every > 0 && m.Batch == 0 && m.Epoch > 0 && m.Epoch%k.Every == 0
}

// SaveAs says what a checkpoint is besides the last one.
type SaveAs struct {
	Best bool // move the best link to it
}

// Open makes the folder dir if it is missing and tidies up after a process that was killed:
// strays of unfinished saves are removed, and the links last and best moved to the checkpoints
// whose saving was cut off just before that. keep is what each Save leaves.
func Open(dir string, keep Keep) (*Store, error) { return open(disk{}, dir, keep) }

func open(fsys fileSystem, dir string, keep Keep) (*Store, error) {
	if keep.Newest < 1 {
		return nil, fmt.Errorf("open %s: keep %d checkpoints: want at least 1", dir, keep.Newest)
	}
	s := &Store{dir: dir, keep: keep, fs: fsys}
	if err := s.tidy(); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) tidy() error {
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return err
	}
	l, err := list(s.fs, s.dir)
	if err != nil {
		return err
	}
	for _, name := range l.strays() {
		if err := s.fs.RemoveAll(s.path(name)); err != nil {
			return err
		}
	}
	return s.link(l)
}

// CheckSpace returns ErrNoSpace unless the folder's disk has room for two checkpoints of that many bytes of tensors: a new
// one is written before an old one is deleted, and the links' moves and the manifests need some room as well.
func (s *Store) CheckSpace(bytes int64) error {
	free, err := s.fs.Free(s.dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", s.dir, err)
	}
	if free < 2*bytes {
		return fmt.Errorf("%w: %s: %s are free, want %s, twice the %s of a checkpoint", ErrNoSpace, s.dir, mib(free), mib(2*bytes), mib(bytes))
	}
	return nil
}

// mib writes bytes in MiB.
func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// Save writes a checkpoint and returns its folder, which is named after where the manifest
// stands. It is written and read back under a temporary name, made durable, and only then renamed
// and linked. Last, the oldest checkpoints beyond the store's keep are deleted, but never one that
// best or last points to, nor one of an epoch to be kept for good, nor one whose manifest is damaged. After an error the checkpoints from
// before are as they were, unless the path is not empty: then the new one is durable, and only
// a link or a deletion failed. The state's tensors must be finite, float32 and row-major.
func (s *Store) Save(state State, as SaveAs) (string, error) {
	l, err := list(s.fs, s.dir)
	if err != nil {
		return "", fmt.Errorf("save checkpoint: %w", err)
	}
	m := &state.Manifest
	m.Format, m.Serial, m.IsBest, m.Created = format, l.nextSerial(), as.Best, m.Created.UTC()
	m.Files = map[string]File{}
	name := l.freeName(*m)
	path := s.path(name)
	if err := s.commit(name, state); err != nil {
		return "", fmt.Errorf("save %s: %w", path, err)
	}
	l.checkpoints = append(l.checkpoints, candidate{name, *m})
	if err := s.link(l); err != nil {
		return path, fmt.Errorf("saved %s, but: %w", path, err)
	}
	if err := s.prune(l); err != nil {
		return path, fmt.Errorf("saved %s, but: %w", path, err)
	}
	return path, nil
}

// commit writes a checkpoint to a temporary folder, verifies it and gives it its name. Every
// step waits until the one before is on the disk.
func (s *Store) commit(name string, state State) (err error) {
	if err := state.check(); err != nil {
		return err
	}
	temp := s.path(tempPrefix + name)
	if err := s.fs.RemoveAll(temp); err != nil { // of a save that failed, and whose removal failed as well
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.fs.RemoveAll(temp))
		}
	}()
	if err := s.fs.Mkdir(temp); err != nil {
		return err
	}
	if err := s.write(temp, state); err != nil {
		return err
	}
	if err := s.fs.SyncDir(temp); err != nil {
		return err
	}
	if _, err := load(s.fs, temp); err != nil {
		return fmt.Errorf("verify what was written: %w", err)
	}
	if err := s.fs.Rename(temp, s.path(name)); err != nil {
		return err
	}
	return s.fs.SyncDir(s.dir)
}

func (s State) check() error {
	if len(s.Model) == 0 {
		return errors.New("the model has no tensors")
	}
	return s.Manifest.check()
}

// write fills a checkpoint's folder, the manifest last as it holds the checksums of the rest.
func (s *Store) write(folder string, state State) error {
	for _, p := range state.parts() {
		var f File
		err := s.writeFile(filepath.Join(folder, p.file), func(w io.Writer) (err error) {
			f, err = writeTensors(w, *p.tensors)
			return err
		})
		if err != nil {
			return err
		}
		state.Manifest.Files[p.file] = f
	}
	text, err := state.Manifest.encode()
	if err != nil {
		return fmt.Errorf("%s: %w", manifestFile, err)
	}
	return s.writeFile(filepath.Join(folder, manifestFile), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// writeFile creates a file, fills it and makes it durable.
func (s *Store) writeFile(path string, fill func(io.Writer) error) error {
	f, err := s.fs.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, chunk)
	if err = fill(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// counter counts bytes.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// writeTensors writes a safetensors file and describes it.
func writeTensors(w io.Writer, ts map[string]*tensor.Dense) (File, error) {
	var size counter
	hash := sha256.New()
	crcs, err := encodeTensors(io.MultiWriter(w, hash, &size), ts)
	return File{Size: int64(size), SHA256: hex.EncodeToString(hash.Sum(nil)), Tensors: crcs}, err
}

// link points last and best where l says they belong and makes that durable.
func (s *Store) link(l listing) error {
	for _, to := range []struct{ link, target string }{{lastLink, l.last()}, {bestLink, l.best()}} {
		if to.target == "" {
			continue
		}
		if err := s.point(to.link, to.target); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(s.dir)
}

// point replaces a link in one step: at every moment it leads to the old target or the new one.
func (s *Store) point(link, target string) error {
	have, err := s.target(link)
	if err != nil || have == target {
		return err
	}
	temp := s.path(tempPrefix + link)
	if err := s.fs.RemoveAll(temp); err != nil {
		return err
	}
	if err := s.fs.Symlink(target, temp); err != nil {
		return err
	}
	return s.fs.Rename(temp, s.path(link))
}

// target is where a link points to, "" if there is none.
func (s *Store) target(link string) (string, error) {
	target, err := s.fs.Readlink(s.path(link))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return target, err
}

// prune deletes the oldest checkpoints beyond keep. One is renamed before it is deleted, so
// that a crash does not leave half a checkpoint under a checkpoint's name.
func (s *Store) prune(l listing) error {
	linked := map[string]bool{}
	for _, link := range []string{lastLink, bestLink} {
		target, err := s.target(link)
		if err != nil {
			return err
		}
		linked[filepath.Base(target)] = true
	}
	for _, c := range l.checkpoints[:max(0, len(l.checkpoints)-s.keep.Newest)] {
		if linked[c.name] || s.keep.forGood(c.manifest) {
			continue
		}
		temp := s.path(tempPrefix + "old-" + c.name)
		if err := s.fs.RemoveAll(temp); err != nil {
			return err
		}
		if err := s.fs.Rename(s.path(c.name), temp); err != nil {
			return err
		}
		if err := s.fs.RemoveAll(temp); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }
