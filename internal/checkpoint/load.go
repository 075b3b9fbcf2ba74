package checkpoint

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"gorgonia.org/tensor"
)

// Load reads and verifies the checkpoint folder at path, which may be a symlink such as
// runs/x/last. Errors wrap ErrBad and name the file and tensor.
func Load(path string) (State, error) { return load(disk{}, path) }

func load(fsys fileSystem, path string) (State, error) {
	m, err := loadManifest(fsys, path)
	if err != nil {
		return State{}, err
	}
	s := State{Manifest: m}
	for _, p := range s.parts() {
		if *p.tensors, err = loadPart(fsys, path, p.file, m); err != nil {
			return State{}, err
		}
	}
	return s, nil
}

// LoadModel reads the parameters and running statistics under their state-dict names from a
// checkpoint folder, verified, or from a bare safetensors file, whose manifest is nil. The int64
// num_batches_tracked counters of PyTorch's files are left out. Errors wrap ErrBad and name the
// file and tensor.
func LoadModel(path string) (map[string]*tensor.Dense, *Manifest, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", ErrBad, err)
	case info.IsDir():
		m, err := loadManifest(disk{}, path)
		if err != nil {
			return nil, nil, err
		}
		ts, err := loadPart(disk{}, path, modelFile, m)
		if err != nil {
			return nil, nil, err
		}
		return ts, &m, nil
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%w: %s: neither a folder nor a regular file", ErrBad, path)
	}
	ts, _, err := loadTensors(disk{}, path)
	return ts, nil, err
}

// loadManifest reads the manifest of the checkpoint at path.
func loadManifest(fsys fileSystem, path string) (Manifest, error) {
	name := filepath.Join(path, manifestFile)
	text, err := readAll(fsys, name, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		last := filepath.Join(path, lastLink)
		if _, linkErr := fsys.Readlink(last); linkErr == nil {
			return Manifest{}, fmt.Errorf("%w: %s: is a run's folder, no checkpoint: name one within it, such as %s", ErrBad, path, last)
		}
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("%w: %s: %w", ErrBad, name, err)
	}
	m, err := decodeManifest(text)
	if err != nil {
		return Manifest{}, fmt.Errorf("%w: %s: %w", ErrBad, name, err)
	}
	return m, nil
}

// readAll reads a file of at most limit bytes.
func readAll(fsys fileSystem, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return text, errors.Join(err, f.Close())
}

// loadPart reads one safetensors file of a checkpoint and compares it with the manifest.
func loadPart(fsys fileSystem, path, name string, m Manifest) (map[string]*tensor.Dense, error) {
	full := filepath.Join(path, name)
	want, ok := m.Files[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s: the manifest does not list it", ErrBad, full)
	}
	ts, have, err := loadTensors(fsys, full)
	if err != nil {
		return nil, err
	}
	for _, tensorName := range slices.Sorted(maps.Keys(want.Tensors)) {
		if have.Tensors[tensorName] != want.Tensors[tensorName] || ts[tensorName] == nil {
			return nil, fmt.Errorf("%w: %s: tensor %q is damaged: its checksum is not the manifest's", ErrBad, full, tensorName)
		}
	}
	if have.Size != want.Size || have.SHA256 != want.SHA256 || len(have.Tensors) != len(want.Tensors) {
		return nil, fmt.Errorf("%w: %s: is damaged: its %d bytes are not the %d that the manifest describes", ErrBad, full, have.Size, want.Size)
	}
	return ts, nil
}

// loadTensors reads a safetensors file and describes it.
func loadTensors(fsys fileSystem, path string) (map[string]*tensor.Dense, File, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, File{}, fmt.Errorf("%w: %w", ErrBad, err)
	}
	ts, have, err := describe(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, File{}, fmt.Errorf("%w: %s: %w", ErrBad, path, err)
	}
	return ts, have, nil
}

func describe(f fs.File) (map[string]*tensor.Dense, File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, File{}, err
	}
	hash := sha256.New()
	ts, crcs, err := decodeTensors(bufio.NewReaderSize(io.TeeReader(f, hash), chunk), info.Size())
	if err != nil {
		return nil, File{}, err
	}
	return ts, File{Size: info.Size(), SHA256: hex.EncodeToString(hash.Sum(nil)), Tensors: crcs}, nil
}
