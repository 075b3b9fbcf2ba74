package cuda

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"senet/internal/kernels"
)

var updateCuDNN = flag.Bool("update-cudnn", false, "write testdata/cudnn/*.golden anew")

// fakeCuDNN is testdata/cudnn, compiled, and its log.
type fakeCuDNN struct {
	path, log string
}

func newFakeCuDNN(t testing.TB) *fakeCuDNN {
	t.Helper()
	f := &fakeCuDNN{buildCuDNN(t), filepath.Join(t.TempDir(), "log")}
	t.Setenv("FAKE_CUDNN_LOG", f.log)
	return f
}

// buildCuDNN compiles the fake, for "CUDA 77", so that no real cuBLASLt is taken for its own, and returns where it is.
func buildCuDNN(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	library, empty := filepath.Join(dir, "cudnn/lib", cudnnLibrary), filepath.Join(dir, "empty.c")
	if err := os.WriteFile(empty, []byte("int nothing;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	compileFake(t, library, "testdata/cudnn/fake.c", "testdata/cudnn/compute.c")
	compileFake(t, filepath.Join(dir, "cublas/lib/libcublasLt.so.77"), empty)
	return library
}

func compileFake(t testing.TB, library string, sources ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(library), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", library}
	for _, s := range sources {
		args = append(args, "-x", "c", s) // g++ takes only one for C, else
	}
	if text, err := exec.Command("g++", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

// lines returns what was logged since the last call.
func (f *fakeCuDNN) lines(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(f.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.RemoveAll(f.log); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// leftOver counts, by kind, what was made and not freed.
func leftOver(lines []string) map[string]int {
	left := map[string]int{}
	for _, l := range lines {
		if kind, ok := strings.CutPrefix(l, "new "); ok {
			left[kind]++
		} else if kind, ok := strings.CutPrefix(l, "free "); ok {
			left[kind]--
		} else if strings.HasPrefix(l, "destroyed twice") {
			left[l]++
		}
	}
	maps.DeleteFunc(left, func(_ string, n int) bool { return n == 0 })
	return left
}

func (f *fakeCuDNN) open(t *testing.T) *cudnn {
	t.Helper()
	c, err := openCuDNNAt(f.path, 0x5150, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// conv3x3 is a strided convolution of odd maps.
func conv3x3(kind convKind, t kernels.Type) convPattern {
	return convPattern{
		kind: kind, n: 2, c: 8, h: 9, w: 7, k: 12, r: 3, s: 3, p: 5, q: 4, stride: 2, pad: 1, groups: 4,
		input: t, weight: t, output: t, biasType: t,
	}
}

// TestGraphs: what cuDNN is asked to run, in words, for each kind and epilogue. In a golden file, a number before a
// colon is an attribute of cudnn_api.h.
func TestGraphs(t *testing.T) {
	f := newFakeCuDNN(t)
	c := f.open(t)
	with := func(p convPattern, change func(*convPattern)) convPattern {
		change(&p)
		return p
	}
	forward := conv3x3(convForward, kernels.BF16)
	for name, p := range map[string]convPattern{
		"forward":                    forward,
		"forward_bias":               with(forward, func(p *convPattern) { p.bias = true }),
		"forward_bias_f32":           with(forward, func(p *convPattern) { p.bias, p.biasType = true, kernels.F32 }),
		"forward_relu":               with(forward, func(p *convPattern) { p.relu = true }),
		"forward_residual":           with(forward, func(p *convPattern) { p.residual = true }),
		"forward_residual_bias_relu": with(forward, func(p *convPattern) { p.bias, p.relu, p.residual = true, true, true }),
		"forward_gate": with(forward, func(p *convPattern) {
			p.bias, p.gate, p.residual, p.relu, p.biasType = true, true, true, true, kernels.F32
		}),
		"grad_input":  conv3x3(convGradInput, kernels.F16),
		"grad_weight": with(conv3x3(convGradWeight, kernels.F16), func(p *convPattern) { p.output = kernels.F32 }),
	} {
		t.Run(name, func(t *testing.T) {
			f.lines(t)
			pl, err := c.plan(p, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			at := convOperands{x: 0x1000, w: 0x2000, y: 0x3000, workspace: 0x6000}
			if p.bias {
				at.bias = 0x4000
			}
			if p.gate {
				at.gate = 0x7000
			}
			if p.residual {
				at.residual = 0x5000
			}
			r, err := pl.bind(at)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(r.run(), r.run()); err != nil {
				t.Fatal(err)
			}
			r.free()
			pl.destroy()
			lines := f.lines(t)
			if left := leftOver(lines); len(left) > 0 {
				t.Errorf("not freed: %v", left)
			}
			first, second, ok := strings.Cut(runsOf(lines), "run plan")
			if !ok || first != "" || strings.Count(second, "run plan") != 1 {
				t.Fatalf("not run twice: %q", lines)
			}
			once, again, _ := strings.Cut(second, "run plan")
			if once != again {
				t.Errorf("the second run differs:\n%s\n%s", once, again)
			}
			golden(t, filepath.Join("testdata/cudnn", name+".golden"), p.String()+"\nrun plan"+once)
		})
	}
}

// runsOf leaves out what was made and freed.
func runsOf(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		if !strings.HasPrefix(l, "new ") && !strings.HasPrefix(l, "free ") {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

func golden(t *testing.T, path, have string) {
	t.Helper()
	if *updateCuDNN {
		if err := os.WriteFile(path, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if have != string(want) {
		t.Errorf("%s differs:\n%s", path, have)
	}
}

// TestEveryFailure: whichever call fails first, the error says why, and nothing is left over.
func TestEveryFailure(t *testing.T) {
	f := newFakeCuDNN(t)
	p := conv3x3(convForward, kernels.BF16)
	p.bias, p.gate, p.residual, p.relu = true, true, true, true
	use := func() (problems []error) {
		c, err := openCuDNNAt(f.path, 0x5150, "")
		if err != nil {
			return []error{err}
		}
		defer func() {
			if err := c.close(); err != nil {
				problems = append(problems, err)
			}
		}()
		pl, err := c.within(p, 1<<20, convEngine{41, []knob{{2, 3}, {3, 13}}})
		if err != nil {
			return []error{err}
		}
		defer pl.destroy()
		if _, err = c.engines(p, 0); err != nil {
			return []error{err}
		}
		r, err := pl.bind(convOperands{0x1000, 0x2000, 0x3000, 0x4000, 0x7000, 0x5000, 0x6000})
		if err != nil {
			return []error{err}
		}
		defer r.free()
		if err := r.run(); err != nil {
			return []error{err}
		}
		return nil
	}
	for n := 1; ; n++ {
		t.Setenv("FAKE_CUDNN_FAIL", strconv.Itoa(n))
		f.lines(t)
		problems := use()
		if left := leftOver(f.lines(t)); len(left) > 0 {
			t.Fatalf("call %d: not freed: %v", n, left)
		}
		if len(problems) == 0 {
			if n < 200 {
				t.Fatalf("only %d calls", n-1)
			}
			return
		}
		if text := problems[0].Error(); !strings.Contains(text, "CUDNN_STATUS_NOT_SUPPORTED (3000): as the test wants") {
			t.Fatalf("call %d: %s", n, text)
		}
	}
}

// TestSearch: engines whose numbers will not do are passed over, as are those that want too much workspace.
func TestSearch(t *testing.T) {
	f := newFakeCuDNN(t)
	c := f.open(t)
	names := func(plans []*convPlan) string {
		var all []string
		for _, pl := range plans {
			all = append(all, pl.name())
			pl.destroy()
		}
		return strings.Join(all, " ")
	}
	f32, tf32 := conv3x3(convForward, kernels.F32), conv3x3(convForward, kernels.F32)
	tf32.tf32 = true
	for _, test := range []struct {
		name  string
		p     convPattern
		limit int64
		want  string
	}{
		{"all", conv3x3(convForward, kernels.BF16), 1 << 20, "eng41_k2=3_k3=13 eng42_k2=3 eng50 eng1"},
		{"little workspace", conv3x3(convForward, kernels.BF16), 0, "eng42_k2=3 eng50 eng1"},
		{"TF32", tf32, 1 << 20, "eng41_k2=3_k3=13 eng42_k2=3 eng50"},
		{"float32", f32, 1 << 20, "eng2"},
	} {
		plans, err := c.candidates(test.p, test.limit)
		if have := names(plans); err != nil || have != test.want {
			t.Errorf("%s: have %s, %v; want %s", test.name, have, err, test.want)
		}
	}
	_, err := c.plan(f32, 63)
	if !errors.Is(err, errNoEngine) || !strings.Contains(err.Error(), "engine 7: not deterministic") {
		t.Errorf("no engine for float32 within 63 bytes: %v", err)
	}
	t.Setenv("FAKE_CUDNN_ENGINES", "none")
	if _, err := c.plan(tf32, 1<<20); !errors.Is(err, errNoEngine) || err.Error() != "cuDNN has no engine for "+tf32.String() {
		t.Errorf("no engine at all: %v", err)
	}
	if left := leftOver(f.lines(t)); len(left) != 1 || left["handle"] != 1 {
		t.Errorf("not freed: %v", left)
	}
}

// TestBadPatterns: what no convolution is.
func TestBadPatterns(t *testing.T) {
	c := newFakeCuDNN(t).open(t)
	for name, change := range map[string]func(*convPattern){
		"no images":          func(p *convPattern) { p.n = 0 },
		"no groups":          func(p *convPattern) { p.groups = 0 },
		"negative pad":       func(p *convPattern) { p.pad = -1 },
		"groups":             func(p *convPattern) { p.groups = 3 },
		"height of y":        func(p *convPattern) { p.p++ },
		"width of y":         func(p *convPattern) { p.q-- },
		"integers":           func(p *convPattern) { p.weight = kernels.I32 },
		"gradient with gate": func(p *convPattern) { p.kind, p.gate = convGradWeight, true },
		"gradient with ReLU": func(p *convPattern) { p.kind, p.relu = convGradInput, true },
	} {
		p := conv3x3(convForward, kernels.BF16)
		change(&p)
		if _, err := c.plan(p, 1<<20); err == nil || errors.Is(err, errNoEngine) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBind: each operand that the convolution has, and no other, has an address that is a multiple of 16.
func TestBind(t *testing.T) {
	c := newFakeCuDNN(t).open(t)
	p := conv3x3(convForward, kernels.BF16)
	p.bias = true
	pl, err := c.plan(p, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer pl.destroy()
	if pl.workspace() != 1<<20 {
		t.Errorf("workspace %d", pl.workspace())
	}
	good := [7]uint64{0x1000, 0x2000, 0x3000, 0x4000, 0, 0, 0x6000}
	bind := func(a [7]uint64) error {
		r, err := pl.bind(convOperands{a[0], a[1], a[2], a[3], a[4], a[5], a[6]})
		if err == nil {
			r.free()
		}
		return err
	}
	if err := bind(good); err != nil {
		t.Error(err)
	}
	for i := range good {
		for _, wrong := range []uint64{0, 0x7008} {
			bad := good
			if bad[i] = wrong; good[i] == wrong {
				bad[i] = 0x5000 // a gate or residual where there is none
			}
			if err := bind(bad); err == nil {
				t.Errorf("%#x was taken", bad)
			}
		}
	}
}

// TestCuDNNProblems: in plain words, why cuDNN cannot be used and what to do.
func TestCuDNNProblems(t *testing.T) {
	f := newFakeCuDNN(t)
	found := func(folder string) {
		if version, problem := cudnnAt(f.path); version != "9.28.0" || problem != "" {
			t.Errorf("cuBLAS in %s: version %q, problem %q", folder, version, problem)
		}
	}
	packages := filepath.Join(filepath.Dir(f.path), "../..") // NVIDIA's, of Python
	found("cublas/lib")                                      // those for CUDA 12
	if err := os.Rename(filepath.Join(packages, "cublas"), filepath.Join(packages, "cu77")); err != nil {
		t.Fatal(err)
	}
	found("cu77/lib") // since 13
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, version, cudart, want string }{
		{"/nowhere/libcudnn.so.9", "", "", "/nowhere/libcudnn.so.9 was not found"},
		{text, "", "", "text.so"},
		{"libc.so.6", "", "", "libc.so.6 has no function cudnnGetVersion"},
		{f.path, "8907", "", "is cuDNN 8.9.7, which is too old: senet needs 9.0 or newer"},
		{f.path, "90000", "88000", "libcublasLt.so.88 of cuBLAS, which it needs, was not found"},
	} {
		for name, value := range map[string]string{"FAKE_CUDNN_VERSION": test.version, "FAKE_CUDNN_CUDART": test.cudart} {
			if value != "" {
				t.Setenv(name, value)
			}
		}
		version, problem := cudnnAt(test.path)
		if version != "" || !strings.Contains(problem, test.want) || !strings.Contains(problem, "LD_LIBRARY_PATH") {
			t.Errorf("%+v: version %q, problem %q", test, version, problem)
		}
		if _, err := openCuDNNAt(test.path, 0, ""); err == nil || err.Error() != problem {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// TestDeviceThatIsNotThere: its properties go with the heuristic and the plan, in place of a handle.
func TestDeviceThatIsNotThere(t *testing.T) {
	f := newFakeCuDNN(t)
	c, err := openCuDNNAt(f.path, 0, `{"deviceVer":900}`)
	if err != nil {
		t.Fatal(err)
	}
	pl, err := c.plan(conv3x3(convForward, kernels.BF16), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	pl.destroy()
	if err := c.close(); err != nil {
		t.Error(err)
	}
	lines := f.lines(t)
	if left := leftOver(lines); len(left) > 0 {
		t.Errorf("not freed: %v", left)
	}
	if made := fmt.Sprint(lines); strings.Contains(made, "handle") || !strings.Contains(made, "new 38") {
		t.Errorf("made %v", made)
	}
}
