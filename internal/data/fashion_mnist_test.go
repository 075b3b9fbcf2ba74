package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// encodeIDX is an IDX file before compression.
func encodeIDX(content []uint8, dims ...uint32) []uint8 {
	b := binary.BigEndian.AppendUint32(nil, uint32(uint8IDX<<8|len(dims)))
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, content...)
}

// zippers saves the fuzzer from allocating 800 kB each time.
var zippers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func zip(t testing.TB, content []uint8) []uint8 {
	t.Helper()
	var b bytes.Buffer
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	z.Reset(&b)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fashionDir writes a test split of the given files.
func fashionDir(t testing.TB, images, labels []uint8) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string][]uint8{"t10k-images-idx3-ubyte.gz": images, "t10k-labels-idx1-ubyte.gz": labels} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// threeImages are the IDX contents of a good split.
func threeImages() (images, labels []uint8) {
	pixels := make([]uint8, 3*28*28)
	for i := range pixels {
		pixels[i] = uint8(i * 13 % 251)
	}
	return encodeIDX(pixels, 3, 28, 28), encodeIDX([]uint8{9, 0, 4}, 3)
}

func TestFashionMNISTReadsImagesAndLabels(t *testing.T) {
	images, labels := threeImages()
	src, err := OpenFashionMNIST(fashionDir(t, zip(t, images), zip(t, labels)), Test)
	if err != nil {
		t.Fatal(err)
	}
	if h, w, c := src.Shape(); src.Len() != 3 || h != 28 || w != 28 || c != 1 || len(src.Classes()) != 10 {
		t.Errorf("%d images of %dx%dx%d in %d classes", src.Len(), h, w, c, len(src.Classes()))
	}
	pixels := make([]uint8, 784)
	for i, want := range []int32{9, 0, 4} {
		label, err := src.Read(i, pixels)
		if err != nil {
			t.Fatal(err)
		}
		if label != want || !slices.Equal(pixels, images[16+784*i:16+784*(i+1)]) {
			t.Errorf("image %d: label %d, want %d, or wrong pixels", i, label, want)
		}
	}
	for _, c := range []struct{ i, size int }{{-1, 784}, {3, 784}, {0, 783}, {0, 785}} {
		if _, err := src.Read(c.i, make([]uint8, c.size)); err == nil {
			t.Errorf("image %d was read to %d bytes", c.i, c.size)
		}
	}
}

func TestDamagedFashionMNISTIsRefused(t *testing.T) {
	images, labels := threeImages()
	set := func(b []uint8, at int, to ...uint8) []uint8 {
		b = slices.Clone(b)
		copy(b[at:], to)
		return b
	}
	good := zip(t, images)
	for _, c := range []struct {
		name           string
		images, labels []uint8
		file, want     string
	}{
		{"image magic", zip(t, set(images, 3, 1)), zip(t, labels), "t10k-images", "magic number is 0x00000801, want 0x00000803"},
		{"element type", zip(t, set(images, 2, 9)), zip(t, labels), "t10k-images", "magic number is 0x00000903"},
		{"label magic", good, zip(t, set(labels, 0, 1)), "t10k-labels", "magic number is 0x01000801, want 0x00000801"},
		{"swapped files", zip(t, labels), good, "t10k-images", "header of 16 bytes ends after 11"},
		{"no image", zip(t, encodeIDX(nil, 0, 28, 28)), zip(t, labels), "t10k-images", "it is empty"},
		{"image height", zip(t, set(images, 11, 27)), zip(t, labels), "t10k-images", "dimensions are [3 27 28], want [0 28 28]"},
		{"image width", zip(t, set(images, 15, 29)), zip(t, labels), "t10k-images", "dimensions are [3 28 29]"},
		{"short header", zip(t, images[:15]), zip(t, labels), "t10k-images", "header of 16 bytes ends after 15"},
		{"nothing", zip(t, nil), zip(t, labels), "t10k-images", "header of 16 bytes ends after 0"},
		{"truncated", zip(t, images[:len(images)-1]), zip(t, labels), "t10k-images", "truncated: has 2351 of 2352"},
		{"no pixels", zip(t, images[:16]), zip(t, labels), "t10k-images", "truncated: has 0 of 2352"},
		{"trailing", zip(t, append(slices.Clone(images), 0)), zip(t, labels), "t10k-images", "trailing bytes after 2352"},
		{"trailing label", good, zip(t, append(slices.Clone(labels), 0)), "t10k-labels", "trailing bytes after 3"},
		{"too many claimed", zip(t, set(images, 4, 0, 1, 0, 0)), zip(t, labels), "t10k-images", "claims [65536 28 28] elements, more than it can hold"},
		{"counts differ", good, zip(t, encodeIDX([]uint8{1, 2}, 2)), "t10k-labels", "has 2 labels"},
		{"label 10", good, zip(t, set(labels, 10, 10)), "t10k-labels", "label 2 is 10, want 0 to 9"},
		{"not gzip", images, zip(t, labels), "t10k-images", "not a gzip file"},
		{"empty file", nil, zip(t, labels), "t10k-images", "not a gzip file"},
		{"gzip cut", good[:len(good)-20], zip(t, labels), "t10k-images", "truncated: has"},
		{"gzip without checksum", good[:len(good)-8], zip(t, labels), "t10k-images", "after 2352 elements: unexpected EOF"},
		{"gzip checksum", set(good, len(good)-8, ^good[len(good)-8]), zip(t, labels), "t10k-images", "checksum"},
		{"gzip data", set(good, 12, 0xff, 0xff, 0xff), zip(t, labels), "t10k-images", "flate"},
		{"after gzip", append(slices.Clone(good), "rest of the file"...), zip(t, labels), "t10k-images", "gzip: invalid header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fashionDir(t, c.images, c.labels)
			src, err := OpenFashionMNIST(dir, Test)
			if err == nil {
				t.Fatalf("was read as %d images", src.Len())
			}
			if !errors.Is(err, ErrBadData) || !strings.Contains(err.Error(), filepath.Join(dir, c.file)) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one of %s that says %q", err, c.file, c.want)
			}
		})
	}
}

func TestMissingFashionMNISTSaysHowToGetIt(t *testing.T) {
	images, labels := threeImages()
	noLabels := fashionDir(t, zip(t, images), zip(t, labels))
	if err := os.Remove(filepath.Join(noLabels, "t10k-labels-idx1-ubyte.gz")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir   string
		split Split
		file  string
	}{
		{filepath.Join(t.TempDir(), "nowhere"), Train, "train-images-idx3-ubyte.gz"},
		{noLabels, Test, "t10k-labels-idx1-ubyte.gz"},
	} {
		_, err := OpenFashionMNIST(c.dir, c.split)
		if !errors.Is(err, ErrBadData) {
			t.Fatalf("error is %v, want bad data", err)
		}
		for _, want := range []string{filepath.Join(c.dir, c.file), "apt-get install dataset-fashion-mnist", "data.dir"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHugeClaimIsRefusedCheaply(t *testing.T) {
	_, labels := threeImages()
	for _, count := range []uint32{math.MaxUint32, 1 << 21, 1 << 17} {
		dir := fashionDir(t, zip(t, encodeIDX(make([]uint8, 1000), count, 28, 28)), zip(t, labels))
		var err error
		bytes := allocated(func() { _, err = OpenFashionMNIST(dir, Test) })
		if err == nil || !strings.Contains(err.Error(), "more than it can hold") {
			t.Errorf("%d images: error is %v", count, err)
		}
		if bytes > 1<<20 {
			t.Errorf("%d images: refused after allocating %d bytes", count, bytes)
		}
	}
	// A file large enough for the claim is still held to the limit; a sum that wraps around is no way past it.
	for _, dims := range [][]uint32{{maxIDXBytes / 784, 28, 29}, {1 << 31, 1 << 31, 4}, {1 << 22, 1 << 21, 1 << 21}} {
		_, err := parseIDX(bytes.NewReader(encodeIDX(nil, dims...)), math.MaxInt64, []int{0, 0, 0})
		if err == nil || !strings.Contains(err.Error(), "more than it can hold") {
			t.Errorf("%v: error is %v", dims, err)
		}
	}
}

func TestInstalledFashionMNISTIsTheKnownOne(t *testing.T) {
	const dir = "/usr/share/datasets/fashion-mnist"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the Debian package dataset-fashion-mnist is not installed: %v", err)
	}
	for _, c := range []struct {
		split           Split
		count, perClass int
	}{{Train, 60000, 6000}, {Test, 10000, 1000}} {
		src, err := OpenFashionMNIST(dir, c.split)
		if err != nil {
			t.Fatal(err)
		}
		counts := map[int32]int{}
		var sum, squares float64
		pixels := make([]uint8, 784)
		for i := range src.Len() {
			label, err := src.Read(i, pixels)
			if err != nil {
				t.Fatal(err)
			}
			counts[label]++
			for _, p := range pixels {
				x := float64(p) / 255
				sum += x
				squares += x * x
			}
		}
		if src.Len() != c.count || len(counts) != 10 {
			t.Errorf("%s: %d images in %d classes", c.split, src.Len(), len(counts))
		}
		for label, n := range counts {
			if n != c.perClass {
				t.Errorf("%s: %d of class %d, want %d", c.split, n, label, c.perClass)
			}
		}
		if c.split == Test {
			continue
		}
		n := float64(784 * src.Len())
		mean := sum / n
		std := math.Sqrt(squares/n - mean*mean)
		if !(math.Abs(mean-0.2860) <= 1e-3) || !(math.Abs(std-0.3530) <= 1e-3) {
			t.Errorf("mean %.4f, want 0.2860; standard deviation %.4f, want 0.3530", mean, std)
		}
	}
}

// FuzzIDX: whatever the bytes are, they are refused or read whole, and the same compressed.
func FuzzIDX(f *testing.F) {
	images, labels := threeImages()
	for _, seed := range [][]uint8{images, labels, images[:20], labels[:7], append(slices.Clone(labels), 1), encodeIDX(nil, 0), encodeIDX([]uint8{1}, math.MaxUint32), {0, 0, 9, 1, 0, 0, 0, 1, 5}} {
		f.Add(seed)
	}
	path := filepath.Join(f.TempDir(), "a.gz")
	f.Fuzz(func(t *testing.T, raw []uint8) {
		if err := os.WriteFile(path, zip(t, raw), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, shape := range [][]int{{0}, {0, 28, 28}} {
			a, err := parseIDX(bytes.NewReader(raw), int64(len(raw)), shape)
			z, zipErr := readIDX(path, shape...)
			if (err == nil) != (zipErr == nil) || zipErr != nil && !errors.Is(zipErr, ErrBadData) {
				t.Fatalf("plain: %v, compressed: %v", err, zipErr)
			}
			if err != nil {
				if errors.Is(err, io.EOF) && len(raw) >= 4+4*len(shape) {
					t.Errorf("error %v for %d bytes", err, len(raw))
				}
				continue
			}
			dims := make([]uint32, len(a.dims))
			for i, d := range a.dims {
				dims[i] = uint32(d)
			}
			if !bytes.Equal(encodeIDX(a.bytes, dims...), raw) || !bytes.Equal(a.bytes, z.bytes) {
				t.Errorf("%v bytes read as %v, %d elements", len(raw), a.dims, len(a.bytes))
			}
		}
	})
}
