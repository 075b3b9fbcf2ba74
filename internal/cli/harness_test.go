package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"senet/internal/data"
)

// scratch is removed when all tests are done; what several of them use lies there.
var scratch string

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(child(mode, os.Getenv(childConfig)))
	}
	if os.Getenv(playMain) != "" {
		os.Exit(Main(os.Args[1:], System()))
	}
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "senet-cli-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := os.RemoveAll(scratch); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// outcome is what a user sees of a command.
type outcome struct {
	code     int
	out, err string
}

// senet runs the program as main does, with args not nil as those are not.
func senet(args ...string) outcome {
	var out, err bytes.Buffer
	code := Main(append([]string{}, args...), Streams{Out: &out, Err: &err, NoColor: true})
	return outcome{code, out.String(), err.String()}
}

// run runs the program with replaced parts; those that are left out are the real ones.
func run(d deps, args ...string) outcome {
	var out, err bytes.Buffer
	if d.Out == nil {
		d.Out = &out
	}
	d.Err, d.NoColor = &err, true
	if d.now == nil {
		d.now = time.Now
	}
	if d.open == nil {
		d.open = openDevice
	}
	if d.exit == nil {
		d.exit = os.Exit
	}
	return outcome{d.main(args), out.String(), err.String()}
}

// want fails the test unless the exit code and every part of the error text are there, and no
// result where there is an error.
func (o outcome) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", o.code, code, o.out, o.err)
	}
	if code != 0 && !strings.HasPrefix(lastBlock(o.err), "senet: ") {
		t.Errorf("stderr does not end with a line \"senet: ...\":\n%s", o.err)
	}
	for _, text := range texts {
		if !strings.Contains(o.err, text) {
			t.Errorf("stderr lacks %q:\n%s", text, o.err)
		}
	}
}

// lastBlock is the last line that is not indented, with the indented ones after it.
func lastBlock(s string) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	for i := len(lines) - 1; i > 0; i-- {
		if !strings.HasPrefix(lines[i], "  ") {
			return strings.Join(lines[i:], "\n")
		}
	}
	return strings.Join(lines, "\n")
}

// one decodes the only JSON object of a command's output, all of whose fields T must have.
func one[T any](t *testing.T, o outcome) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(o.out))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decode %T: %v\nstdout: %s\nstderr: %s", v, err, o.out, o.err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Errorf("after the object: %v, want the end\n%s", err, o.out)
	}
	return v
}

const (
	trainImages, testImages = 64, 32
	side                    = 28
)

// picture is the i-th image of a class: the class tells the direction and the width of its stripes.
func picture(class, i int) []uint8 {
	pixels := make([]uint8, side*side)
	for y := range side {
		for x := range side {
			across := x
			if class >= 5 {
				across = y
			}
			pixels[y*side+x] = uint8((x*7 + y*13 + i*29) % 32)
			if (across+i)/(class%5+1)%2 == 0 {
				pixels[y*side+x] += 200
			}
		}
	}
	return pixels
}

// writeDataset writes a data set in Fashion-MNIST's format: the class of image i is i modulo 10.
func writeDataset(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for prefix, n := range map[string]int{"train": trainImages, "t10k": testImages} {
		var pixels, labels []uint8
		for i := range n {
			pixels = append(pixels, picture(i%10, i)...)
			labels = append(labels, uint8(i%10))
		}
		images := filepath.Join(dir, prefix+"-images-idx3-ubyte.gz")
		if err := writeIDX(images, pixels, uint32(n), side, side); err != nil {
			return err
		}
		if err := writeIDX(filepath.Join(dir, prefix+"-labels-idx1-ubyte.gz"), labels, uint32(n)); err != nil {
			return err
		}
	}
	return nil
}

func writeIDX(path string, bytes []uint8, dims ...uint32) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	header := binary.BigEndian.AppendUint32(nil, 0x800|uint32(len(dims)))
	for _, d := range dims {
		header = binary.BigEndian.AppendUint32(header, d)
	}
	z := gzip.NewWriter(f)
	_, err = z.Write(append(header, bytes...))
	return errors.Join(err, z.Close(), f.Close())
}

// writePNG writes a grey image of the data set's size.
func writePNG(t *testing.T, path string, pixels []uint8) {
	t.Helper()
	var b bytes.Buffer
	m := &image.Gray{Pix: pixels, Stride: side, Rect: image.Rect(0, 0, side, side)}
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, b.String())
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fixture is a data set, a config and a run that has trained on it.
type fixture struct {
	data, config, run string
	trained           outcome
}

// shared is trained once for all tests: none may change it.
var shared = sync.OnceValues(func() (fixture, error) {
	f := fixture{data: filepath.Join(scratch, "data"), config: filepath.Join(scratch, "tiny.yaml"), run: filepath.Join(scratch, "run")}
	if err := writeDataset(f.data); err != nil {
		return f, err
	}
	text := fmt.Sprintf(`device: cpu
threads: 1
model: {name: seresnet20_cifar}
data: {dir: %q, workers: 1}
train: {epochs: 1, batch_size: 8, lr: 0.05}
eval: {batch_size: 10}
output: {dir: runs}
`, f.data)
	if err := os.WriteFile(f.config, []byte(text), 0o644); err != nil {
		return f, err
	}
	f.trained = senet("train", "--config", f.config, "--set", "output.dir="+f.run, "--set", "train.epochs=4")
	return f, nil
})

func newFixture(t *testing.T) fixture {
	t.Helper()
	f, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	if f.trained.code != 0 {
		t.Fatalf("training: exit code %d\n%s%s", f.trained.code, f.trained.out, f.trained.err)
	}
	return f
}

// train is a command line that trains into dir.
func (f fixture) train(dir string, more ...string) []string {
	return append([]string{"train", "--config", f.config, "--set", "output.dir=" + dir}, more...)
}

// best is the path of the checkpoint of the run's best epoch.
func (f fixture) best() string { return filepath.Join(f.run, "best") }

// classes are Fashion-MNIST's.
func (f fixture) classes(t *testing.T) []string {
	t.Helper()
	src, err := data.OpenFashionMNIST(f.data, data.Test)
	if err != nil {
		t.Fatal(err)
	}
	return src.Classes()
}
