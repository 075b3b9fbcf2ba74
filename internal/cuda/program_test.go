package cuda

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"senet/internal/cuda/emu"
)

// TestProgram: the same binary that runs without a driver finds the emulated GPU, measures on it, trains and evaluates.
func TestProgram(t *testing.T) {
	if !emu.Running() || testing.Short() {
		t.Skip("not on the emulator, or short")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "senet")
	if out, err := exec.Command("go", "build", "-o", program, "senet/cmd/senet").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	senet := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		var out, log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &log
		if err := cmd.Run(); err != nil {
			t.Fatalf("senet %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), log.String())
		}
		return out.String()
	}
	if auto := decode(t, senet("doctor", "--device", "cuda", "--json"))["auto"]; auto != "cuda:0" {
		t.Errorf("auto takes %v", auto)
	}
	bench := decode(t, senet("bench", "infer", "--model", "seresnet20_cifar", "--device", "cuda", "--batch", "2", "--size", "8",
		"--channels", "1", "--classes", "10", "--steps", "2", "--warmup", "1", "--precision", "fp16", "--json"))
	if device, _ := bench["device"].(string); !strings.HasPrefix(device, "cuda:0: ") || !strings.Contains(device, "fp16") {
		t.Errorf("measured on %v", bench["device"])
	}

	writeStripes(t, dir, "train", 6)
	writeStripes(t, dir, "t10k", 2)
	config := "device: cuda\nprecision: bf16\nmodel:\n  name: seresnet20_cifar\ndata:\n  dir: " + dir +
		"\n  image_size: 28\ntrain:\n  epochs: 1\n  batch_size: 2\neval:\n  batch_size: 2\noutput:\n  dir: run\n"
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := senet("train", "--config", "config.yaml"); !strings.Contains(out, "done: best top-1") {
		t.Errorf("train printed %s", out)
	}
	if eval := decode(t, senet("eval", "--config", "config.yaml", "--checkpoint", "run/best", "--json")); eval["images"] != 2.0 {
		t.Errorf("eval counts %v images, want 2", eval["images"])
	}
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return object
}

// writeStripes writes n images (28, 28) and labels in Fashion-MNIST's format.
func writeStripes(t *testing.T, dir, split string, n int) {
	t.Helper()
	pixels, labels := make([]byte, 0, 28*28*n), make([]byte, n)
	for i := range n {
		labels[i] = byte(i % 10)
		for at := range 28 * 28 {
			pixels = append(pixels, byte(at*(i+1)*5))
		}
	}
	for name, file := range map[string]struct {
		dims []uint32
		data []byte
	}{"images-idx3": {[]uint32{uint32(n), 28, 28}, pixels}, "labels-idx1": {[]uint32{uint32(n)}, labels}} {
		text := binary.BigEndian.AppendUint32(nil, 0x800|uint32(len(file.dims)))
		for _, d := range file.dims {
			text = binary.BigEndian.AppendUint32(text, d)
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(append(text, file.data...)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, split+"-"+name+"-ubyte.gz"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
