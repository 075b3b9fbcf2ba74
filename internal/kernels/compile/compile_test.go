package main

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ptxasLog is what NVRTC 12.9 logs for a file of two kernels.
const ptxasLog = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'sum_f32x1' for 'sm_80'
ptxas info    : Function properties for sum_f32x1
ptxas         .     16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 24 registers, used 1 barriers, 16 bytes cumulative stack size, 2048 bytes smem, 372 bytes cmem[0]
ptxas info    : Compile time = 2.461 ms
ptxas info    : Compiling entry function 'sum_bf16x8' for 'sm_80'
ptxas info    : Function properties for sum_bf16x8
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 372 bytes cmem[0]
`

func TestUsageIsReadFromTheLog(t *testing.T) {
	kernels, err := parseUsage(ptxasLog)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := kernels["sum_f32x1"], (usage{24, 2048, 16, 20}); got != want {
		t.Errorf("sum_f32x1: %+v, want %+v", got, want)
	}
	if got, want := kernels["sum_bf16x8"], (usage{registers: 40}); got != want || len(kernels) != 2 {
		t.Errorf("sum_bf16x8: %+v, want %+v; %d kernels", got, want, len(kernels))
	}
	for _, bad := range []string{"", "ptxas info    : Compiling entry function 'sum_f32x1' for 'sm_80'\n"} {
		if _, err := parseUsage(bad); err == nil {
			t.Errorf("%q: want an error", bad)
		}
	}
}

func TestArchive(t *testing.T) {
	var jobs []job
	var results []result
	for _, target := range targets {
		jobs = append(jobs, job{source{stem: "sum"}, target})
		results = append(results, result{[]byte("image for " + target.name), ptxasLog})
	}
	data, err := archive(jobs, results)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := archive(jobs, results); err != nil || !bytes.Equal(data, again) {
		t.Errorf("a second archive differs; error %v", err)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"sm_90/sum.cubin": "image for sm_90", "compute_80/sum.ptx": "image for compute_80",
		"ptxas.txt": `kernel       sm_80   sm_86   sm_89   sm_90  sm_100  sm_120  shared   stack   spill
sum_bf16x8      40      40      40      40      40      40       0       0       0
sum_f32x1       24      24      24      24      24      24    2048      16      20
`,
	} {
		f, err := z.Open(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != want {
			t.Errorf("%s: %q, want %q; error %v", name, got, want, err)
		}
	}
	_, err = archive([]job{{source{stem: "sum"}, targets[0]}, {source{stem: "total"}, targets[0]}}, results[:2])
	if err == nil || !strings.Contains(err.Error(), "both in sum.cu and in total.cu") {
		t.Errorf("two files with one kernel: error %v", err)
	}
}

// TestKeysFollowWhatIsCompiled changes one thing after the other and sees which files would be compiled again.
func TestKeysFollowWhatIsCompiled(t *testing.T) {
	kernels, cuda := t.TempDir(), t.TempDir()
	put := func(folder, name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(kernels, "a.cu", "#include \"outer.cuh\"\n")
	put(kernels, "b.cu", "#  include <cuda.h> // \n#include \"absent.h\"\n")
	put(kernels, "outer.cuh", "\n #include \"inner.cuh\"\n#include \"outer.cuh\"\n")
	put(kernels, "inner.cuh", "1")
	put(cuda, "cuda.h", "1")
	keys := func() (a, b string) {
		sources, err := readSources(kernels, cuda)
		if err != nil || len(sources) != 2 || sources[0].stem != "a" || sources[1].stem != "b" {
			t.Fatalf("sources %v, error %v", sources, err)
		}
		return sources[0].key(targets[0], "12.9"), sources[1].key(targets[0], "12.9")
	}
	for _, c := range []struct {
		what                     string
		change                   func()
		aIsCompiled, bIsCompiled bool
	}{
		{"nothing", func() {}, false, false},
		{"a.cu", func() { put(kernels, "a.cu", "#include \"outer.cuh\"\nint x;\n") }, true, false},
		{"inner.cuh", func() { put(kernels, "inner.cuh", "2") }, true, false},
		{"cuda.h", func() { put(cuda, "cuda.h", "2") }, false, true},
	} {
		a, b := keys()
		c.change()
		newA, newB := keys()
		if (a != newA) != c.aIsCompiled || (b != newB) != c.bIsCompiled {
			t.Errorf("%s: a compiled again %v, b %v", c.what, a != newA, b != newB)
		}
	}
	s := source{stem: "a"}
	if s.key(targets[0], "12.9") == s.key(targets[1], "12.9") || s.key(targets[0], "12.9") == s.key(targets[0], "12.8") {
		t.Error("the key does not depend on the architecture or on NVRTC's version")
	}
	if _, err := readSources(cuda, cuda); err == nil {
		t.Error("a folder without kernels: want an error")
	}
}

// TestRun compiles a small kernel for every architecture with the NVRTC that the build has, and reads a wrong one's error.
func TestRun(t *testing.T) {
	cuda, err := filepath.Abs("../../../.deps/cuda")
	if err != nil {
		t.Fatal(err)
	}
	own, kernels := t.TempDir(), t.TempDir()
	for _, name := range []string{"include", "lib"} {
		if err := os.Symlink(filepath.Join(cuda, name), filepath.Join(own, name)); err != nil {
			t.Fatal(err)
		}
	}
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(kernels, "fill.cu"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("extern \"C\" __global__ void fill(float* p) { p[threadIdx.x] = 1.0f; }\n")
	if err := os.MkdirAll(filepath.Join(own, "cubin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(own, "cubin", "gone.sm_80.0.cubin"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var first []byte
	for i := range 2 { // the second time from the cache, which loses what was not used
		if err := run(own, kernels); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(kernels, "kernels.zip"))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = data
		} else if !bytes.Equal(data, first) {
			t.Error("the archive made from the cache differs")
		}
	}
	write("extern \"C\" __global__ void fill(float* p) { q[0] = 1.0f; }\n")
	files, err := os.ReadDir(filepath.Join(own, "cubin"))
	if err != nil || len(files) != 2*len(targets) {
		t.Errorf("the cache has %d files, want an image and a log for each target; error %v", len(files), err)
	}
	err = run(own, kernels)
	if err == nil || strings.Count(err.Error(), "fill.cu for sm_80") != 1 || !strings.Contains(err.Error(), `identifier "q" is undefined`) {
		t.Errorf("a kernel that does not compile: error %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(kernels, "kernels.zip")); err != nil || !bytes.Equal(data, first) {
		t.Errorf("a failure must leave the archive as it was; error %v", err)
	}
	if err := run(t.TempDir(), kernels); err == nil || !strings.Contains(err.Error(), "libnvrtc.so.12") {
		t.Errorf("no NVRTC: error %v", err)
	}
}
