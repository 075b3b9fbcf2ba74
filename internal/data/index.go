package data

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"unicode"

	"golang.org/x/sys/unix"
)

// Index lists the encoded images of one split: where each lies and which class it shows. Images in a tar are read in
// place, by their offset; nothing is ever extracted. Its methods may be called from many goroutines at once.
type Index struct {
	dir        string      // that relative paths start from
	origin     string      // what the index was made of, to know a saved one by
	ids        []string    // of the classes, in the order of the labels: folder names, as a rule wnids
	containers []container // of the samples; if one has changed, the index no longer holds
	samples    []sample
	open       []openFile // the containers, once they are read from
}

// container is a tar, or the folder or list that names files.
type container struct {
	path  string // relative to Index.dir, or absolute
	size  int64  // bytes; 0 of a folder, where it means nothing
	mtime int64  // ns since 1970
}

// sample is one encoded image: a range of bytes of a tar, or a file.
type sample struct {
	name   string // of the tar's member; else the file's path, relative to Index.dir or absolute
	in     int32  // its tar among the containers, or -1
	label  int32
	offset int64
	size   int64
}

// openFile is a container that is opened when its first image is read.
type openFile struct {
	once sync.Once
	file *os.File
	err  error
}

// maxSamples bounds an index: ImageNet-22k has 14 million images.
const maxSamples = 1 << 26

// newIndex checks what was found.
func newIndex(dir, origin string, ids []string, containers []container, samples []sample) (*Index, error) {
	where := join(dir, containers[0].path)
	switch {
	case len(samples) == 0:
		return nil, fmt.Errorf("%w: %s: has no images", ErrBadData, where)
	case len(samples) > maxSamples:
		return nil, fmt.Errorf("%w: %s: more than %d images", ErrBadData, where, maxSamples)
	case len(ids) > maxClasses:
		return nil, fmt.Errorf("%w: %s: more than %d classes", ErrBadData, where, maxClasses)
	}
	return &Index{dir: dir, origin: origin, ids: ids, containers: containers, samples: samples, open: make([]openFile, len(containers))}, nil
}

// Len is the number of images.
func (ix *Index) Len() int { return len(ix.samples) }

// Classes names the classes in the order of their labels: a wnid of ImageNet together with its name.
func (ix *Index) Classes() []string {
	names := make([]string, len(ix.ids))
	for i, id := range ix.ids {
		names[i] = className(id)
	}
	return names
}

// ClassIDs are the names that the data set itself gives its classes, in the order of their labels.
func (ix *Index) ClassIDs() []string { return slices.Clone(ix.ids) }

// Label is the class of image i.
func (ix *Index) Label(i int) int32 { return ix.samples[i].label }

// Name is the path of image i, behind that of its tar where it lies in one.
func (ix *Index) Name(i int) string {
	s := ix.samples[i]
	if s.in < 0 {
		return join(ix.dir, s.name)
	}
	return join(ix.dir, ix.containers[s.in].path) + ":" + s.name
}

// ReadFile returns the encoded bytes of image i in buf, or in new memory where buf's capacity does not do.
// Errors wrap ErrBadData and name the file.
func (ix *Index) ReadFile(i int, buf []byte) ([]byte, error) {
	b, err := ix.readFile(ix.samples[i], buf)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadData, ix.Name(i), err)
	}
	return b, nil
}

func (ix *Index) readFile(s sample, buf []byte) (b []byte, err error) {
	if s.in < 0 {
		return readImageFile(join(ix.dir, s.name), buf)
	}
	f, err := ix.tar(s.in)
	if err != nil {
		return nil, err
	}
	b = slices.Grow(buf[:0], int(s.size))[:s.size]
	if n, err := f.ReadAt(b, s.offset); n < len(b) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("byte %d of %d: %w", n, len(b), err)
	}
	return b, nil
}

// tar is the open container in.
func (ix *Index) tar(in int32) (*os.File, error) {
	o := &ix.open[in]
	o.once.Do(func() { o.file, o.err = os.Open(join(ix.dir, ix.containers[in].path)) })
	return o.file, o.err
}

// announce lets the kernel fetch image i of a tar before it is read, many at a time: workers alone would keep a disk waiting. Of a
// file of its own it does nothing, as the file would have to be opened. What goes wrong shows when it is read.
func (ix *Index) announce(i int) {
	s := ix.samples[i]
	if s.in < 0 {
		return
	}
	if f, err := ix.tar(s.in); err == nil {
		_ = unix.Fadvise(int(f.Fd()), s.offset, s.size, unix.FADV_WILLNEED)
	}
}

// readImageFile reads a whole file.
func readImageFile(path string, buf []byte) (b []byte, err error) {
	f, err := openRegular(path, maxImageBytes)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b = slices.Grow(buf[:0], int(info.Size()))[:info.Size()]
	n, err := io.ReadFull(f, b)
	if err != nil {
		return nil, fmt.Errorf("byte %d of %d: %w", n, len(b), err)
	}
	return b, nil
}

// openRegular opens a file that is one, of at most limit bytes. A pipe does not block it.
func openRegular(path string, limit int64) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err == nil && info.Size() > limit {
		err = fmt.Errorf("%s has %d bytes, more than the %d allowed", path, info.Size(), limit)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readAtMost reads r to its end, which must come within limit bytes.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("more than the %d bytes allowed", limit)
	}
	return b, err
}

// containerAt describes a file or folder as it is now.
func containerAt(dir, path string) (container, error) {
	info, err := os.Stat(join(dir, path))
	if err != nil {
		return container{}, fmt.Errorf("%w: %w", ErrBadData, err)
	}
	c := container{path: path, size: info.Size(), mtime: max(0, info.ModTime().UnixNano())}
	if info.IsDir() {
		c.size = 0
	}
	return c, nil
}

// join is path within dir, unless it is absolute.
func join(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// isPrintable reports whether s can be shown on a terminal as it is.
func isPrintable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return false
		}
	}
	return true
}
