package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

// fileOf joins a header and data, as Python's safetensors would write them.
func fileOf(header string, data ...byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return slices.Concat(out, []byte(header), data)
}

func decodeBytes(text []byte) (map[string]*tensor.Dense, error) {
	ts, _, err := decodeTensors(bytes.NewReader(text), int64(len(text)))
	return ts, err
}

func TestWriterGivesTheFormatsBytes(t *testing.T) {
	var out bytes.Buffer
	crcs, err := encodeTensors(&out, map[string]*tensor.Dense{
		"b": tensor.New(tensor.FromScalar(float32(-2))),
		"a": tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]float32{1, 0.5})),
	})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	a, b := []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x3f}, []byte{0, 0, 0, 0xc0}
	if want := fileOf(header, slices.Concat(a, b)...); !bytes.Equal(out.Bytes(), want) {
		t.Errorf("wrote\n%q, want\n%q", out.Bytes(), want)
	}
	for name, data := range map[string][]byte{"a": a, "b": b} {
		if want := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)); crcs[name] != want {
			t.Errorf("crc of %s: %08x, want %08x", name, crcs[name], want)
		}
	}
}

// decodeIndependently reads safetensors the short way, with none of the package's code.
func decodeIndependently(t *testing.T, text []byte) map[string][]float32 {
	t.Helper()
	n := binary.LittleEndian.Uint64(text)
	if (8+n)%8 != 0 {
		t.Errorf("data starts at byte %d, want a multiple of 8", 8+n)
	}
	var header map[string]struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets []int  `json:"data_offsets"`
		Format  string `json:"format"`
	}
	if err := json.Unmarshal(text[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	if header["__metadata__"].Format != "pt" {
		t.Error("no format entry")
	}
	delete(header, "__metadata__")
	out := map[string][]float32{}
	for name, h := range header {
		if h.DType != "F32" {
			t.Errorf("%s is %s", name, h.DType)
		}
		data := text[8+n:][h.Offsets[0]:h.Offsets[1]]
		values := make([]float32, len(data)/4)
		if _, err := binary.Decode(data, binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
		if tensor.Shape(h.Shape).TotalSize() != len(values) {
			t.Errorf("%s: shape %v for %d values", name, h.Shape, len(values))
		}
		out[name] = values
	}
	return out
}

func TestSavedFilesReadWithAnIndependentDecoder(t *testing.T) {
	s := stateAt(5)
	s.Model["layer1.0.\"<é>\".weight"] = dense(9, 3, 20000) // more than a chunk
	path, err := mustOpen(t, disk{}, t.TempDir(), Keep{Newest: 1}).Save(s, SaveAs{})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]map[string]*tensor.Dense{modelFile: s.Model, optimizerFile: s.Optimizer} {
		text, err := os.ReadFile(filepath.Join(path, file))
		if err != nil {
			t.Fatal(err)
		}
		got := decodeIndependently(t, text)
		if len(got) != len(want) {
			t.Errorf("%s: %d tensors, want %d", file, len(got), len(want))
		}
		for name, w := range want {
			if !slices.Equal(got[name], w.Float32s()) {
				t.Errorf("%s: %q differs", file, name)
			}
		}
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := differs(got, s); d != "" {
		t.Errorf("read back: %s", d)
	}
}

func TestFileAsPythonWritesItLoads(t *testing.T) {
	// Larger element types first, names escaped, no metadata, header not sorted by name.
	header := `{"bn1.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[0,8]},` +
		`"fc.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},"conv\u0031.weight":{"shape":[],"data_offsets":[16,20],"dtype":"F32"}}    `
	data := []byte{7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x80, 0, 0, 0x20, 0xc1}
	path := filepath.Join(t.TempDir(), "timm.safetensors")
	writeFile(t, path, fileOf(header, data...))
	ts, m, err := LoadModel(path)
	if err != nil || m != nil {
		t.Fatalf("manifest %v, error %v", m, err)
	}
	if got := slices.Sorted(maps.Keys(ts)); !slices.Equal(got, []string{"conv1.weight", "fc.weight"}) {
		t.Fatalf("tensors %q", got)
	}
	fc, conv := ts["fc.weight"], ts["conv1.weight"]
	if !fc.Shape().Eq(tensor.Shape{2, 1}) || fc.Float32s()[0] != 1 || math.Float32bits(fc.Float32s()[1]) != 1<<31 {
		t.Errorf("fc.weight is %v", fc)
	}
	if conv.Dims() != 0 || conv.Float32s()[0] != -10 {
		t.Errorf("conv1.weight is %v", conv)
	}
}

func TestMalformedFilesAreRefused(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	four := make([]byte, 4)
	tooMany := "{"
	for i := range maxTensors + 1 {
		tooMany += fmt.Sprintf(`"%d":{"dtype":"F32","shape":[],"data_offsets":[%d,%d]},`, i, 4*i, 4*i+4)
	}
	tooMany = strings.TrimSuffix(tooMany, ",") + "}"
	tests := []struct {
		name string
		text []byte
		says []string
	}{
		{"empty file", nil, []string{"0 bytes"}},
		{"header longer than the file", fileOf(`{` + a + `}`)[:20], []string{"truncated"}},
		{"header over the cap", append(binary.LittleEndian.AppendUint64(nil, maxHeader+1), make([]byte, maxHeader+1)...), []string{"limit"}},
		{"negative header length", bytes.Repeat([]byte{0xff}, 64), []string{"limit"}},
		{"zip", []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00"), []string{"PyTorch", "save_file"}},
		{"pickle", []byte("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20"), []string{"PyTorch", "save_file"}},
		{"empty header", fileOf(""), []string{"JSON"}},
		{"space before the brace", fileOf(` {`+a+`}`, four...), []string{"JSON"}},
		{"array", fileOf(`[1]`), []string{"JSON"}},
		{"not UTF-8", fileOf("{\"a\xff\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", four...), []string{"UTF-8"}},
		{"trailing text", fileOf(`{`+a+`}x`, four...), []string{"JSON"}},
		{"trailing comma", fileOf(`{`+a+`,}`, four...), []string{"JSON"}},
		{"duplicate name", fileOf(`{`+a+`,`+a+`}`, four...), []string{`"a"`, "twice"}},
		{"duplicate name by escape", fileOf(`{`+a+`,"\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, make([]byte, 8)...), []string{`"a"`, "twice"}},
		{"duplicate key", fileOf(`{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, four...), []string{`tensor "a"`, "twice"}},
		{"unknown key", fileOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, four...), []string{`tensor "a"`, `"x"`}},
		{"wrong case", fileOf(`{"a":{"DType":"F32","shape":[1],"data_offsets":[0,4]}}`, four...), []string{`"DType"`}},
		{"missing key", fileOf(`{"a":{"dtype":"F32","shape":[1]}}`), []string{`tensor "a"`, "data_offsets"}},
		{"three offsets", fileOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}`, four...), []string{`tensor "a"`, "3"}},
		{"negative dimension", fileOf(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, four...), []string{`tensor "a"`, "-1"}},
		{"fraction", fileOf(`{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}`, four...), []string{`tensor "a"`, "1.0"}},
		{"text as dimension", fileOf(`{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}`, four...), []string{`tensor "a"`}},
		{"null", fileOf(`{"a":null}`), []string{`tensor "a"`}},
		{"metadata not text", fileOf(`{"__metadata__":{"format":1}}`), []string{"string"}},
		{"rank", fileOf(`{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}`, four...), []string{`tensor "a"`, "8"}},
		{"overflow", fileOf(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`), []string{`tensor "a"`, "too large"}},
		{"shape larger than data", fileOf(`{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4]}}`, four...), []string{`tensor "a"`, "fit"}},
		{"claims more than the file", fileOf(`{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}`, four...), []string{"truncated"}},
		{"empty tensor", fileOf(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`), []string{`tensor "a"`, "empty"}},
		{"end before begin", fileOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, four...), []string{`tensor "a"`}},
		{"hole at the start", fileOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, make([]byte, 8)...), []string{`tensor "a"`, "gap"}},
		{"hole between", fileOf(`{`+a+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, make([]byte, 12)...), []string{`tensor "b"`, "gap"}},
		{"overlap", fileOf(`{`+a+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, four...), []string{`tensor "b"`, "overlap"}},
		{"data missing", fileOf(`{`+a+`}`, 0, 0), []string{"truncated"}},
		{"data left over", fileOf(`{`+a+`}`, make([]byte, 8)...), []string{"other data"}},
		{"half precision", fileOf(`{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, four...), []string{`tensor "a"`, "F16"}},
		{"int64 that is no counter", fileOf(`{"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}`, make([]byte, 8)...), []string{`tensor "a"`, "I64"}},
		{"counter that is no scalar", fileOf(`{"num_batches_tracked":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}}`, make([]byte, 16)...), []string{"I64"}},
		{"NaN", fileOf(`{`+a+`}`, 0, 0, 0xc0, 0x7f), []string{`tensor "a"`, "NaN"}},
		{"infinity", fileOf(`{`+a+`}`, 0, 0, 0x80, 0xff), []string{`tensor "a"`, "-Inf"}},
		{"too many tensors", fileOf(tooMany, make([]byte, 4*(maxTensors+1))...), []string{"more than 2500"}},
	}
	if _, err := decodeBytes(fileOf(`{`+a+`}`, four...)); err != nil {
		t.Fatalf("the file that the others are variants of: %v", err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeBytes(tt.text)
			mention(t, err, tt.says...)
			path := filepath.Join(t.TempDir(), "x.safetensors")
			writeFile(t, path, tt.text)
			_, _, err = LoadModel(path)
			mention(t, err, path)
			if !errors.Is(err, ErrBad) {
				t.Errorf("%v is no ErrBad", err)
			}
		})
	}
}

func TestTensorsThatCannotBeWrittenAreRefused(t *testing.T) {
	transposed := dense(1, 2, 3)
	if err := transposed.T(); err != nil {
		t.Fatal(err)
	}
	many := map[string]*tensor.Dense{}
	for i := range maxTensors + 1 {
		many[fmt.Sprint(i)] = dense(0, 1)
	}
	long := map[string]*tensor.Dense{strings.Repeat("a", maxHeader): dense(0, 1)}
	for name, tt := range map[string]struct {
		ts   map[string]*tensor.Dense
		says string
	}{
		"nil":            {map[string]*tensor.Dense{"w": nil}, `tensor "w"`},
		"float64":        {map[string]*tensor.Dense{"w": tensor.New(tensor.WithBacking([]float64{1}))}, "float64"},
		"transposed":     {map[string]*tensor.Dense{"w": transposed}, "row-major"},
		"column-major":   {map[string]*tensor.Dense{"w": tensor.New(tensor.WithShape(2, 2), tensor.AsFortran([]float32{1, 2, 3, 4}))}, "row-major"},
		"NaN":            {map[string]*tensor.Dense{"w": tensor.New(tensor.WithBacking([]float32{0, float32(math.NaN())}))}, "element 1 is NaN"},
		"infinity":       {map[string]*tensor.Dense{"w": tensor.New(tensor.WithBacking([]float32{float32(math.Inf(-1))}))}, "-Inf"},
		"no name":        {map[string]*tensor.Dense{"": dense(0, 1)}, "name"},
		"reserved name":  {map[string]*tensor.Dense{metadataKey: dense(0, 1)}, "name"},
		"name not UTF-8": {map[string]*tensor.Dense{"\xff": dense(0, 1)}, "name"},
		"too many":       {many, "2501 tensors"},
		"long header":    {long, "header"},
	} {
		var out bytes.Buffer
		if _, err := encodeTensors(&out, tt.ts); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want %q", name, err, tt.says)
		}
		if out.Len() > 0 {
			t.Errorf("%s: wrote %d bytes", name, out.Len())
		}
	}
}

func TestReadingHoldsAtMostTwiceTheFilePlusAMegabyte(t *testing.T) {
	var many, big bytes.Buffer
	ts := map[string]*tensor.Dense{}
	for i := range maxTensors {
		ts[fmt.Sprint(i)] = dense(0, 1, 1, 1, 1, 1, 1, 1, 1)
	}
	if _, err := encodeTensors(&many, ts); err != nil {
		t.Fatal(err)
	}
	if _, err := encodeTensors(&big, map[string]*tensor.Dense{"a": dense(1, 1<<20), "b": dense(2, 1<<18)}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"many small tensors": many.Bytes(), "few large tensors": big.Bytes()} {
		before := heap()
		read, err := decodeBytes(text)
		held := heap() - before
		if err != nil {
			t.Fatal(err)
		}
		if limit := int64(2*len(text) + 1<<20); held > limit {
			t.Errorf("%s: %d bytes of file hold %d bytes of memory, limit %d", name, len(text), held, limit)
		}
		runtime.KeepAlive(read)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func FuzzSafetensors(f *testing.F) {
	var out bytes.Buffer
	if _, err := encodeTensors(&out, stateAt(1).Model); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add(fileOf(`{}`))
	f.Add(fileOf(`{"num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}`, make([]byte, 8)...))
	f.Add(fileOf(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := decodeBytes(text)
		if err != nil {
			return
		}
		bytesHeld := 0
		for _, x := range first {
			bytesHeld += 4 * len(x.Float32s())
		}
		if bytesHeld > len(text) {
			t.Fatalf("%d bytes of tensors from %d bytes", bytesHeld, len(text))
		}
		var again bytes.Buffer
		if _, err := encodeTensors(&again, first); err != nil {
			if _, odd := first[""]; odd {
				return // may be read, not written
			}
			t.Fatalf("read but not written: %v", err)
		}
		second, err := decodeBytes(again.Bytes())
		if err != nil {
			t.Fatalf("written but not read: %v", err)
		}
		if d := differs(State{Model: second}, State{Model: first}); d != "" {
			t.Fatal(d)
		}
	})
}
