package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
)

// faulty is the disk, but for the calls that fail says to spoil. It counts and records calls
// and, to be fast, does not wait for the disk.
type faulty struct {
	disk
	fail          func(call, write int) fault // numbers from 0; write is -1 for another call
	calls, writes int
	trace         []string
}

// fault is how a call goes wrong.
type fault struct {
	err  error // returned; nil: the call goes well
	done bool  // the call is carried out all the same
	half bool  // of a write, half is written; without err this is not reported
}

func never(int, int) fault { return fault{} }

// do counts a call and carries it out unless it is to fail.
func (f *faulty) do(call func() error, format string, args ...any) error {
	f.trace = append(f.trace, fmt.Sprintf(format, args...))
	spoil := f.fail(f.calls, -1)
	f.calls++
	if spoil.err != nil && !spoil.done {
		return spoil.err
	}
	return errors.Join(call(), spoil.err)
}

func (f *faulty) MkdirAll(path string) error {
	return f.do(func() error { return f.disk.MkdirAll(path) }, "mkdirall %s", path)
}

func (f *faulty) Mkdir(path string) error {
	return f.do(func() error { return f.disk.Mkdir(path) }, "mkdir %s", path)
}

func (f *faulty) SyncDir(path string) error {
	return f.do(func() error { return nil }, "syncdir %s", path)
}

func (f *faulty) Rename(from, to string) error {
	return f.do(func() error { return f.disk.Rename(from, to) }, "rename %s %s", from, to)
}

func (f *faulty) Symlink(target, link string) error {
	return f.do(func() error { return f.disk.Symlink(target, link) }, "symlink %s %s", target, link)
}

func (f *faulty) RemoveAll(path string) error {
	return f.do(func() error { return f.disk.RemoveAll(path) }, "remove %s", path)
}

func (f *faulty) Readlink(link string) (target string, err error) {
	err = f.do(func() (err error) { target, err = f.disk.Readlink(link); return err }, "readlink %s", link)
	return target, err
}

func (f *faulty) ReadDir(path string) (entries []fs.DirEntry, err error) {
	err = f.do(func() (err error) { entries, err = f.disk.ReadDir(path); return err }, "readdir %s", path)
	return entries, err
}

func (f *faulty) Create(path string) (out file, err error) {
	err = f.do(func() (err error) { out, err = f.disk.Create(path); return err }, "create %s", path)
	return faultyFile{out, f, path}, err
}

func (f *faulty) Open(path string) (in fs.File, err error) {
	err = f.do(func() (err error) { in, err = f.disk.Open(path); return err }, "open %s", path)
	return faultyReader{in, f, path}, err
}

type faultyFile struct {
	file
	fs   *faulty
	path string
}

func (w faultyFile) Write(p []byte) (int, error) {
	w.fs.trace = append(w.fs.trace, "write "+w.path)
	spoil := w.fs.fail(w.fs.calls, w.fs.writes)
	w.fs.calls++
	w.fs.writes++
	switch {
	case spoil.half:
		n, err := w.file.Write(p[:len(p)/2])
		if spoil.err == nil {
			n = len(p)
		}
		return n, errors.Join(err, spoil.err)
	case spoil.err != nil && !spoil.done:
		return 0, spoil.err
	}
	n, err := w.file.Write(p)
	return n, errors.Join(err, spoil.err)
}

func (w faultyFile) Sync() error {
	return w.fs.do(func() error { return nil }, "sync %s", w.path)
}

// Close closes the file in any case, for the test's sake.
func (w faultyFile) Close() error {
	err := w.file.Close()
	return w.fs.do(func() error { return err }, "close %s", w.path)
}

type faultyReader struct {
	fs.File
	fs   *faulty
	path string
}

func (r faultyReader) Stat() (info fs.FileInfo, err error) {
	err = r.fs.do(func() (err error) { info, err = r.File.Stat(); return err }, "stat %s", r.path)
	return info, err
}

func (r faultyReader) Read(p []byte) (n int, err error) {
	spoil := r.fs.fail(r.fs.calls, -1)
	r.fs.calls++
	if spoil.err != nil {
		return 0, spoil.err
	}
	return r.File.Read(p)
}

func (r faultyReader) Close() error {
	err := r.File.Close()
	return r.fs.do(func() error { return err }, "close-read %s", r.path)
}
