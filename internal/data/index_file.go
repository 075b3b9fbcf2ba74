package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
)

// A saved index is
//
//	magic    8 bytes
//	version  uint32
//	origin   string
//	classes  count, strings
//	containers  count, each path string, size, mtime
//	samples  count, each name string, container + 1, offset, size, label
//	CRC-32C  uint32, of all before
//
// with strings as their length and their bytes, numbers but version and CRC as varints, and those two little-endian.
const (
	indexMagic   = "senetidx"
	indexVersion = 1
	maxIndexFile = 8 << 30
	maxName      = 4096 // bytes, as long as Linux allows a path to be
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes the index to path, which then has either all of it or what it had before.
func (ix *Index) Save(path string) error {
	if err := writeAtomic(path, ix.encode()); err != nil {
		return fmt.Errorf("save index: %w", err)
	}
	return nil
}

func (ix *Index) encode() []byte {
	b := binary.LittleEndian.AppendUint32([]byte(indexMagic), indexVersion)
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	number := func(n int64) { b = binary.AppendUvarint(b, uint64(n)) }
	text(ix.origin)
	number(int64(len(ix.ids)))
	for _, id := range ix.ids {
		text(id)
	}
	number(int64(len(ix.containers)))
	for _, c := range ix.containers {
		text(c.path)
		number(c.size)
		number(c.mtime)
	}
	number(int64(len(ix.samples)))
	for _, s := range ix.samples {
		text(s.name)
		number(int64(s.in) + 1)
		number(s.offset)
		number(s.size)
		number(int64(s.label))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// loadIndex reads a saved index and checks that it is of origin and that its containers are as they were.
func loadIndex(path, dir, origin string) (*Index, error) {
	f, err := openRegular(path, maxIndexFile)
	if err != nil {
		return nil, err
	}
	text, err := readAtMost(f, maxIndexFile)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	ix, err := decodeIndex(text)
	if err != nil {
		return nil, err
	}
	if ix.origin != origin {
		return nil, fmt.Errorf("is of %q, not of %q", ix.origin, origin)
	}
	for _, was := range ix.containers {
		is, err := containerAt(dir, was.path)
		if err != nil {
			return nil, err
		}
		if is != was {
			return nil, fmt.Errorf("%s has changed since", join(dir, was.path))
		}
	}
	ix.dir = dir
	return ix, nil
}

// indexReader takes a saved index apart; the first thing that is wrong is err.
type indexReader struct {
	rest []byte
	err  error
}

func (r *indexReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.rest = nil
}

// number reads a number from 0 to limit.
func (r *indexReader) number(limit int64) int64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || limit < 0 || n > uint64(limit) {
		r.fail("damaged: a number is missing or greater than %d", limit)
		return 0
	}
	r.rest = r.rest[size:]
	return int64(n)
}

// count reads how many things follow, each of at least so many bytes, so that none too many are allocated.
func (r *indexReader) count(limit, bytes int) int {
	return int(r.number(int64(min(limit, len(r.rest)/bytes))))
}

func (r *indexReader) text() string {
	n := r.number(maxName)
	if n > int64(len(r.rest)) {
		r.fail("damaged: a name is cut off")
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	if !isPrintable(s) {
		r.fail("damaged: %.80q cannot be shown", s)
	}
	return s
}

func decodeIndex(text []byte) (*Index, error) {
	const head = len(indexMagic) + 4
	if len(text) < head+4 || !bytes.HasPrefix(text, []byte(indexMagic)) {
		return nil, errors.New("is not an index of senet's")
	}
	if v := binary.LittleEndian.Uint32(text[len(indexMagic):]); v != indexVersion {
		return nil, fmt.Errorf("is of version %d, want %d", v, indexVersion)
	}
	body := text[:len(text)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(text[len(body):]) {
		return nil, errors.New("damaged: the checksum does not fit")
	}
	r := &indexReader{rest: body[head:]}
	origin := r.text()
	ids := make([]string, r.count(maxClasses, 1))
	for i := range ids {
		ids[i] = r.text()
	}
	containers := make([]container, r.count(maxSamples, 3))
	for i := range containers {
		containers[i] = container{r.text(), r.number(math.MaxInt64), r.number(math.MaxInt64)}
	}
	samples := make([]sample, r.count(maxSamples, 5))
	for i := range samples {
		samples[i] = r.sample(containers, len(ids))
	}
	if r.err == nil && len(r.rest) > 0 {
		r.fail("damaged: %d bytes too many", len(r.rest))
	}
	if r.err == nil && len(containers) == 0 {
		r.fail("damaged: is of no files")
	}
	if r.err != nil {
		return nil, r.err
	}
	return newIndex("", origin, ids, containers, samples)
}

// sample reads a sample that lies within its container.
func (r *indexReader) sample(containers []container, classes int) sample {
	s := sample{name: r.text()}
	s.in = int32(r.number(int64(len(containers)))) - 1
	offset, size := int64(0), int64(0) // of a file, whatever it is when it is read
	if s.in >= 0 {
		offset = containers[s.in].size
		size = min(offset, maxImageBytes)
	}
	s.offset = r.number(offset)
	s.size = r.number(min(size, offset-s.offset))
	s.label = int32(r.number(int64(classes) - 1))
	return s
}

// writeAtomic replaces the file at path.
func writeAtomic(path string, content []byte) error {
	return replaceFile(path, func(f *os.File) error {
		_, err := f.Write(content)
		return err
	})
}

// replaceFile puts what write writes in the place of the file at path. A crash at any moment leaves the one or the other.
func replaceFile(path string, write func(*os.File) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes renames in a folder last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
