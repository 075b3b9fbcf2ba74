package cuda

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"senet/internal/cuda/emu"
	"senet/internal/graph"
	"senet/internal/kernels"
)

// gatedConv is a strided convolution with all that an epilogue can have.
func gatedConv() *graph.Node {
	v := func(name string, dims ...int) *graph.Value { return &graph.Value{Name: name, Shape: dims} }
	return &graph.Node{
		Op: graph.Conv, Name: "gated", Attr: graph.ConvAttr{Stride: 2, Pad: 1, Groups: 1, ReLU: true},
		In:  []*graph.Value{v("x", 2, 8, 9, 7), v("w", 12, 8, 3, 3), v("bias", 12), v("gate", 2, 12), v("residual", 2, 12, 5, 4)},
		Out: []*graph.Value{v("y", 2, 12, 5, 4)},
	}
}

// chosen is what b chooses for n: an engine's name, or "ours".
func chosen(b *Backend, n *graph.Node) (name string, err error) {
	err = b.device.do(func() error {
		plan, err := b.choose(n)
		if plan == nil {
			name = "ours"
			return err
		}
		name = plan.name()
		plan.destroy()
		return err
	})
	return name, err
}

// TestTrials: an engine that computes something else than our own kernels is passed over; where all do, neither is trusted.
func TestTrials(t *testing.T) {
	if !emu.Running() {
		t.Skip("engines of a device are right")
	}
	library := buildCuDNN(t)
	gradient := gatedConv()
	gradient.Op, gradient.In, gradient.Out = graph.ConvGradWeight, []*graph.Value{gradient.Out[0], gradient.In[0]}, []*graph.Value{gradient.In[1], nil}
	for _, test := range []struct {
		name, wrong, want string
	}{
		{"all right", "", "eng41_k2=3_k3=13"},
		{"the first is wrong", "41", "eng42_k2=3"},
		{"another is wrong", "42", "eng41_k2=3_k3=13"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("FAKE_CUDNN_WRONG", test.wrong)
			b := openOnCuDNN(t, kernels.BFloat16, library)
			if have, err := chosen(b, gatedConv()); have != test.want || err != nil {
				t.Errorf("chose %s, %v; want %s", have, err, test.want)
			}
			if have, err := chosen(b, gradient); have != test.want || err != nil {
				t.Errorf("for a weight's gradient chose %s, %v; want %s", have, err, test.want)
			}
		})
	}
	t.Run("all are wrong", func(t *testing.T) {
		t.Setenv("FAKE_CUDNN_WRONG", "all")
		for _, p := range []kernels.Precision{kernels.Float32, kernels.BFloat16} {
			have, err := chosen(openOnCuDNN(t, p, library), gatedConv())
			if err == nil || !strings.Contains(err.Error(), "not that of senet's own kernels") {
				t.Errorf("%s: chose %s, %v", p, have, err)
			}
		}
	})
}

// TestMeasuredChoice is kept on disk, where the next process finds it; a guess is not.
func TestMeasuredChoice(t *testing.T) {
	if !emu.Running() {
		t.Skip("not on the emulator")
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	f := newFakeCuDNN(t)
	open := func(measure bool) *Backend {
		b := openOnCuDNN(t, kernels.BFloat16, f.path)
		b.measure = measure
		b.library.remember("device")
		return b
	}
	choose := func(b *Backend) (name string, runs int) {
		f.lines(t)
		name, err := chosen(b, gatedConv())
		if err != nil {
			t.Fatal(err)
		}
		return name, strings.Count(strings.Join(f.lines(t), "\n"), "run plan")
	}
	kept := func() int {
		files, err := os.ReadDir(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "senet/cudnn"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(files)
	}
	if _, runs := choose(open(false)); runs != 1 || kept() != 0 {
		t.Errorf("a guess took %d runs and left %d files, want 1 and none", runs, kept())
	}
	first, runs := choose(open(true))
	if runs < 4*2 || kept() != 1 {
		t.Errorf("a measurement took %d runs of 4 engines and left %d files", runs, kept())
	}
	if name, runs := choose(open(false)); name != first || runs != 0 {
		t.Errorf("then %s in %d runs, want %s in none", name, runs, first)
	}
}
