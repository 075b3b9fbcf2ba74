package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"gorgonia.org/tensor"
)

const (
	// maxHeader bounds the JSON header in bytes. The largest networks have some 1,200 tensors of
	// about 110 bytes of header each: this is eight times that.
	maxHeader = 1 << 20
	// maxTensors, twice the largest network's, and maxRank bound the bookkeeping that a small file
	// can make us hold: 1.1 MB at most, measured, beside as many bytes of floats as the file has.
	maxTensors = 2500
	maxRank    = 8
	// chunk is how many bytes are converted at once.
	chunk = 64 << 10

	metadataKey = "__metadata__"
	float32Size = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// named is a tensor to be written.
type named struct {
	name   string
	shape  []int
	values []float32
}

// WriteTensors writes float32 tensors by name as a safetensors file, which Python's loaders accept. The tensors must be
// finite and row-major; nothing is written if one is not.
func WriteTensors(w io.Writer, ts map[string]*tensor.Dense) error {
	_, err := encodeTensors(w, ts)
	return err
}

// encodeTensors writes ts to w as safetensors, sorted by name, and returns the CRC-32C of each
// tensor's bytes. Nothing is written if a tensor cannot be.
func encodeTensors(w io.Writer, ts map[string]*tensor.Dense) (map[string]uint32, error) {
	if len(ts) > maxTensors {
		return nil, fmt.Errorf("%d tensors, more than %d", len(ts), maxTensors)
	}
	sorted := make([]named, 0, len(ts))
	for _, name := range slices.Sorted(maps.Keys(ts)) {
		values, err := floats(ts[name])
		if err == nil && (name == "" || name == metadataKey || !utf8.ValidString(name)) {
			err = errors.New("is no valid name")
		}
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		sorted = append(sorted, named{name, ts[name].Shape(), values})
	}
	header, err := encodeHeader(sorted)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(header); err != nil {
		return nil, err
	}
	crcs := make(map[string]uint32, len(ts))
	buf := make([]byte, 0, chunk)
	for _, t := range sorted {
		for part := range slices.Chunk(t.values, chunk/float32Size) {
			buf = buf[:0]
			for _, x := range part {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
			}
			crcs[t.name] = crc32.Update(crcs[t.name], castagnoli, buf)
			if _, err := w.Write(buf); err != nil {
				return nil, err
			}
		}
	}
	return crcs, nil
}

// headerEntry is the JSON description of a tensor.
type headerEntry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"` // bytes into the data: begin, end
}

// encodeHeader is the length prefix and the JSON header, padded with spaces so that the data
// starts on a multiple of 8 bytes. Python's loaders ask for the "format" entry.
func encodeHeader(ts []named) ([]byte, error) {
	var text bytes.Buffer
	text.WriteString(`{"` + metadataKey + `":{"format":"pt"}`)
	offset := 0
	for _, t := range ts {
		end := offset + float32Size*len(t.values)
		name, nameErr := json.Marshal(t.name)
		entry, err := json.Marshal(headerEntry{"F32", append([]int{}, t.shape...), [2]int{offset, end}})
		if err := errors.Join(nameErr, err); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.name, err)
		}
		fmt.Fprintf(&text, ",%s:%s", name, entry)
		offset = end
	}
	text.WriteByte('}')
	for text.Len()%8 != 0 {
		text.WriteByte(' ')
	}
	if text.Len() > maxHeader {
		return nil, fmt.Errorf("%d tensors need a header of %d bytes, more than %d", len(ts), text.Len(), maxHeader)
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(text.Len())), text.Bytes()...), nil
}

// floats are the elements of t, which must be a finite row-major float32 tensor.
func floats(t *tensor.Dense) ([]float32, error) {
	if t == nil {
		return nil, errors.New("is nil")
	}
	if t.Dtype() != tensor.Float32 {
		return nil, fmt.Errorf("want float32, have %s", t.Dtype())
	}
	if t.RequiresIterator() || t.DataOrder().IsColMajor() {
		return nil, errors.New("is not contiguous and row-major")
	}
	values := t.Float32s()
	if len(values) == 0 || len(values) != t.Shape().TotalSize() {
		return nil, fmt.Errorf("shape %v has %d elements", t.Shape(), len(values))
	}
	return values, checkFinite(values)
}

// checkFinite refuses NaN and infinities: weights that hold one are lost, and a checkpoint of
// them must not take the place of a good one.
func checkFinite(values []float32) error {
	const exponent = 0x7f800000
	for i, x := range values {
		if math.Float32bits(x)&exponent == exponent {
			return fmt.Errorf("element %d is %v", i, x)
		}
	}
	return nil
}

// decodeTensors reads a safetensors file of size bytes from r, and the CRC-32C of each tensor's
// bytes. PyTorch's int64 num_batches_tracked counters, which nothing here uses, are skipped.
func decodeTensors(r io.Reader, size int64) (map[string]*tensor.Dense, map[string]uint32, error) {
	header, err := readHeader(r, size)
	if err != nil {
		return nil, nil, err
	}
	entries, err := parseHeader(header)
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if err := checkLayout(entries, size-8-int64(len(header))); err != nil {
		return nil, nil, err
	}
	ts, crcs := make(map[string]*tensor.Dense, len(entries)), make(map[string]uint32, len(entries))
	buf := make([]byte, chunk)
	for _, e := range entries {
		if e.isCounter() {
			if _, err := io.CopyN(io.Discard, r, e.end-e.begin); err != nil {
				return nil, nil, fmt.Errorf("tensor %q: %w", e.name, err)
			}
			continue
		}
		values := make([]float32, (e.end-e.begin)/float32Size)
		if crcs[e.name], err = readFloats(r, values, buf); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", e.name, err)
		}
		if err := checkFinite(values); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", e.name, err)
		}
		ts[e.name] = tensor.New(tensor.WithShape(e.shape...), tensor.WithBacking(values))
	}
	return ts, crcs, nil
}

// readHeader reads the length prefix and the JSON text.
func readHeader(r io.Reader, size int64) ([]byte, error) {
	var prefix [8]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, fmt.Errorf("no safetensors file: %d bytes long: %w", size, err)
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	switch {
	case n > maxHeader && (bytes.HasPrefix(prefix[:], []byte("PK\x03\x04")) || prefix[0] == 0x80 && prefix[1] <= 5):
		return nil, errors.New(`a PyTorch pickle, no safetensors file; convert it in Python: safetensors.torch.save_file(torch.load("x.pth", map_location="cpu", weights_only=True), "x.safetensors")`)
	case n > maxHeader:
		return nil, fmt.Errorf("no safetensors file: header of %d bytes, the limit is %d", n, maxHeader)
	case int64(n) > size-8:
		return nil, fmt.Errorf("truncated: header of %d bytes in a file of %d", n, size)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return header, nil
}

// checkLayout verifies that the tensors, sorted by offset, fill size bytes of data without gap
// or overlap, and that each is of a type that can be read.
func checkLayout(entries []entry, size int64) error {
	end := int64(0)
	for _, e := range entries {
		elem := int64(float32Size)
		if e.isCounter() {
			elem = 8
		} else if e.dtype != "F32" {
			return fmt.Errorf("tensor %q: dtype %s; only F32 can be read: convert the file to float32", e.name, e.dtype)
		}
		want, ok := byteSize(e.shape, elem)
		switch {
		case !ok:
			return fmt.Errorf("tensor %q: shape %v is empty or too large", e.name, e.shape)
		case e.begin != end:
			return fmt.Errorf("tensor %q: starts at byte %d of the data, want %d: gap or overlap", e.name, e.begin, end)
		case e.end < e.begin || e.end-e.begin != want:
			return fmt.Errorf("tensor %q: bytes %d to %d do not fit shape %v", e.name, e.begin, e.end, e.shape)
		}
		end = e.end
	}
	if end != size {
		return fmt.Errorf("truncated or followed by other data: tensors take %d bytes, the file has %d", end, size)
	}
	return nil
}

// byteSize is the size of a tensor; false if it is empty or overflows.
func byteSize(shape []int, elem int64) (int64, bool) {
	n := elem
	for _, d := range shape {
		if d < 1 || n > math.MaxInt64/int64(d) {
			return 0, false
		}
		n *= int64(d)
	}
	return n, true
}

// readFloats fills values through buf and returns the CRC-32C of the bytes.
func readFloats(r io.Reader, values []float32, buf []byte) (uint32, error) {
	crc := uint32(0)
	for part := range slices.Chunk(values, len(buf)/float32Size) {
		b := buf[:float32Size*len(part)]
		if _, err := io.ReadFull(r, b); err != nil {
			return 0, err
		}
		crc = crc32.Update(crc, castagnoli, b)
		for i := range part {
			part[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[float32Size*i:]))
		}
	}
	return crc, nil
}

// entry is one tensor of a header; begin and end are byte offsets into the data.
type entry struct {
	name, dtype string
	shape       []int
	begin, end  int64
}

// isCounter reports whether e is the step counter of a PyTorch batch norm.
func (e entry) isCounter() bool {
	const counter = "num_batches_tracked"
	return e.dtype == "I64" && len(e.shape) == 0 && (e.name == counter || strings.HasSuffix(e.name, "."+counter))
}
