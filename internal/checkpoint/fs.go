package checkpoint

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// fileSystem is what saving asks of the operating system; tests make its calls fail.
type fileSystem interface {
	MkdirAll(path string) error
	Mkdir(path string) error
	Create(path string) (file, error)
	Open(path string) (fs.File, error)
	ReadDir(path string) ([]fs.DirEntry, error) // sorted by name
	SyncDir(path string) error
	Rename(from, to string) error
	Symlink(target, link string) error
	Readlink(link string) (string, error)
	RemoveAll(path string) error
	Free(path string) (int64, error) // bytes that a user may still write where path is
}

// file is a file being written.
type file interface {
	io.WriteCloser
	Sync() error
}

// disk is the operating system's file system.
type disk struct{}

func (disk) MkdirAll(path string) error                 { return os.MkdirAll(path, 0o755) }
func (disk) Mkdir(path string) error                    { return os.Mkdir(path, 0o755) }
func (disk) Create(path string) (file, error)           { return os.Create(path) }
func (disk) Open(path string) (fs.File, error)          { return os.Open(path) }
func (disk) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }
func (disk) Rename(from, to string) error               { return os.Rename(from, to) }
func (disk) Symlink(target, link string) error          { return os.Symlink(target, link) }
func (disk) Readlink(link string) (string, error)       { return os.Readlink(link) }
func (disk) RemoveAll(path string) error                { return os.RemoveAll(path) }

// Free leaves out what the file system reserves for the superuser.
func (disk) Free(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// SyncDir makes the entries of a folder durable.
func (disk) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
