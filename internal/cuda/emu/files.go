package emu

import (
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// sources are the C++ of the driver and of what stands in for CUDA.
//
//go:embed src
var sources embed.FS

// file is a source and its name without folder.
type file struct {
	name string
	text []byte
}

// readKernels reads the .cu and .cuh files of a folder, in the order of their names.
func readKernels(dir string, change func(name string, text []byte) ([]byte, error)) (units, headers []file, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if ext != ".cu" && ext != ".cuh" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil && change != nil {
			text, err = change(e.Name(), text)
		}
		if err != nil {
			return nil, nil, err
		}
		if ext == ".cu" {
			units = append(units, file{e.Name(), text})
		} else {
			headers = append(headers, file{e.Name(), text})
		}
	}
	if len(units) == 0 {
		return nil, nil, fmt.Errorf("%s has no .cu files", dir)
	}
	return units, headers, nil
}

// embedded is the C++ of the emulator.
func embedded() ([]file, error) {
	var files []file
	err := fs.WalkDir(sources, "src", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := sources.ReadFile(path)
		files = append(files, file{d.Name(), text})
		return err
	})
	return files, err
}

// include finds what a file includes from its own folder.
var include = regexp.MustCompile(`(?m)^\s*#\s*include\s*"([^"]+)"`)

// included is the names and texts of the .cuh files that a text includes, and those include, each once.
func (b *builder) included(text []byte, seen map[string]bool) []string {
	var all []string
	for _, m := range include.FindAllSubmatch(text, -1) {
		name := string(m[1])
		if header, ours := b.text[name]; ours && !seen[name] {
			seen[name] = true
			all = append(append(all, name, string(header)), b.included(header, seen)...)
		}
	}
	return all
}

// lay writes files into a folder named by their content.
func (b *builder) lay(prefix string, files []file) (string, error) {
	var all []string
	for _, f := range files {
		all = append(all, f.name, string(f.text))
	}
	dir := filepath.Join(b.root, prefix+hash(all...))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, b.atomically(dir, func(tmp string) error {
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(tmp, f.name), f.text, 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}

// atomically makes the folder dir, filled by fill, whole or not at all.
func (b *builder) atomically(dir string, fill func(tmp string) error) error {
	tmp, err := os.MkdirTemp(b.root, "tmp-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := fill(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// prune removes what was made more than a week ago: each change of a kernel leaves an object and libraries behind.
func (b *builder) prune() error {
	entries, err := os.ReadDir(b.root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > 7*24*time.Hour {
			err = os.RemoveAll(filepath.Join(b.root, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another process may prune too
			return err
		}
	}
	return nil
}

// hash is short: what it names is a cache.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:10])
}
