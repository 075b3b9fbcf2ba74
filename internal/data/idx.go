package data

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// maxIDXBytes bounds the elements of one file. Fashion-MNIST's largest has 47 million.
const maxIDXBytes = 1 << 30

// maxDeflate is how many bytes a compressed byte can stand for at most: deflate codes up to
// 258 bytes in 2 bits.
const maxDeflate = 1032

// uint8IDX is the third byte of the magic number of files of unsigned bytes.
const uint8IDX = 8

// idx is an array of unsigned bytes in row-major order.
type idx struct {
	dims  []int
	bytes []uint8
}

// readIDX reads the gzipped IDX file at path. shape is what its dimensions must be; 0 stands for any size from 1.
func readIDX(path string, shape ...int) (a idx, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: %s: %w", ErrBadData, path, err)
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return idx{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return idx{}, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return idx{}, fmt.Errorf("not a gzip file: %w", err)
	}
	return parseIDX(z, maxDeflate*info.Size(), shape)
}

// parseIDX reads an IDX file to its end. atMost bytes can come from r, so a header that claims
// more is refused before anything is allocated for it.
func parseIDX(r io.Reader, atMost int64, shape []int) (idx, error) {
	a, err := parseIDXHeader(r, shape)
	if err != nil {
		return idx{}, err
	}
	total := int64(1)
	for _, d := range a.dims {
		total *= int64(d) // each factor is below 2^32 and the product before it at most 2^30
		if total > min(atMost, maxIDXBytes) {
			return idx{}, fmt.Errorf("claims %v elements, more than it can hold", a.dims)
		}
	}
	a.bytes = make([]uint8, total)
	if n, err := io.ReadFull(r, a.bytes); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return idx{}, fmt.Errorf("truncated: has %d of %d elements", n, total)
	} else if err != nil {
		return idx{}, fmt.Errorf("element %d: %w", n, err)
	}
	// Reading on to the end also verifies the checksum.
	switch n, err := io.ReadFull(r, make([]uint8, 1)); {
	case n > 0:
		return idx{}, fmt.Errorf("trailing bytes after %d elements", total)
	case !errors.Is(err, io.EOF):
		return idx{}, fmt.Errorf("after %d elements: %w", total, err)
	}
	return a, nil
}

// parseIDXHeader reads magic number and dimensions, all of them big-endian uint32.
func parseIDXHeader(r io.Reader, shape []int) (idx, error) {
	header := make([]uint8, 4+4*len(shape))
	if n, err := io.ReadFull(r, header); err != nil {
		return idx{}, fmt.Errorf("header of %d bytes ends after %d: %w", len(header), n, err)
	}
	magic := binary.BigEndian.Uint32(header)
	if want := uint32(uint8IDX<<8 | len(shape)); magic != want {
		return idx{}, fmt.Errorf("magic number is %#08x, want %#08x", magic, want)
	}
	dims := make([]int, len(shape))
	for i := range dims {
		dims[i] = int(binary.BigEndian.Uint32(header[4+4*i:]))
		if dims[i] == 0 {
			return idx{}, fmt.Errorf("dimensions are %v: it is empty", dims[:i+1])
		}
	}
	if !slices.EqualFunc(dims, shape, func(have, want int) bool { return want == 0 || have == want }) {
		return idx{}, fmt.Errorf("dimensions are %v, want %v (0 for any)", dims, shape)
	}
	return idx{dims: dims}, nil
}
