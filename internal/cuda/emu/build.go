package emu

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// flags compile kernels and driver. Numbers are as a device computes them: neither reordered nor, as the plain code of
// a kernel does not ask for it, fused. CUDA code reads vectors of one type as another, so types do not tell aliases.
var flags = []string{
	"-std=c++17", "-O2", "-fPIC", "-Wall", "-Wno-unknown-pragmas", "-Wno-unused-function", "-fvisibility=hidden",
	"-fno-fast-math", "-ffp-contract=off", "-fno-strict-aliasing", "-fno-threadsafe-statics", "-fno-gnu-unique",
}

// parallel is how many compilers run at once.
const parallel = 2

// workers is how many blocks run at once, each in a library of kernels of its own; src/driver.hpp has it too.
const workers = 2

// Build compiles the kernels of a folder and the driver, where it has not done so before, and returns the folder that
// holds libcuda.so.1 and libnccl.so.2. An error has what g++ said of each file that does not compile.
func Build(kernelsDir string) (string, error) { return build(kernelsDir, nil) }

// BuildMutated is Build with one text replaced, which must occur exactly once in the named .cu or .cuh file. A test that
// passes on what it returns misses the defect.
func BuildMutated(kernelsDir, file, old, replacement string) (string, error) {
	if _, err := os.Stat(filepath.Join(kernelsDir, file)); err != nil {
		return "", fmt.Errorf("mutate %s: %w", file, err)
	}
	return build(kernelsDir, func(name string, text []byte) ([]byte, error) {
		if name != file {
			return text, nil
		}
		if n := bytes.Count(text, []byte(old)); n != 1 {
			return nil, fmt.Errorf("mutate %s: %q occurs %d times, want once", file, old, n)
		}
		return bytes.Replace(text, []byte(old), []byte(replacement), 1), nil
	})
}

// builder is one build. Objects and results lie under their content's hash, so many builds can share root.
type builder struct {
	root    string            // of all builds
	include string            // folder of src
	headers string            // folder of the .cuh files
	text    map[string][]byte // of each .cuh file
	hash    string            // of all that every object depends on
}

func build(kernelsDir string, change func(name string, text []byte) ([]byte, error)) (string, error) {
	units, headers, err := readKernels(kernelsDir, change)
	if err != nil {
		return "", err
	}
	b, err := newBuilder(headers)
	if err != nil {
		return "", err
	}
	objects, err := b.objects(units)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(b.root, "lib-"+hash(b.hash, strings.Join(objects, "\n")))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, b.atomically(dir, func(tmp string) error { return b.link(tmp, objects) })
}

// newBuilder lays out the headers that a build reads.
func newBuilder(headers []file) (*builder, error) {
	version, err := exec.Command("g++", "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("g++ --version: %w", err)
	}
	src, err := embedded()
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	b := &builder{root: filepath.Join(cache, "senet-emu"), text: map[string][]byte{}}
	for _, h := range headers {
		b.text[h.name] = h.text
	}
	if err := os.MkdirAll(b.root, 0o755); err != nil {
		return nil, err
	}
	if err := b.prune(); err != nil {
		return nil, err
	}
	if b.include, err = b.lay("src-", src); err != nil {
		return nil, err
	}
	if b.headers, err = b.lay("cuh-", headers); err != nil {
		return nil, err
	}
	b.hash = hash(string(version), strings.Join(flags, " "), b.include)
	return b, nil
}

// objects compiles the kernels, their runner and the driver. The last two end the list.
func (b *builder) objects(units []file) ([]string, error) {
	src, err := embedded()
	if err != nil {
		return nil, err
	}
	src = slices.DeleteFunc(src, func(f file) bool { return filepath.Ext(f.name) != ".cpp" })
	all := append(slices.Clone(units), src...)
	paths, errs := make([]string, len(all)), make([]error, len(all))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, f := range all {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			paths[i], errs[i] = b.object(f)
		})
	}
	wg.Wait()
	return paths, errors.Join(errs...)
}

// object compiles one file into a folder that holds object.o, and returns that.
func (b *builder) object(f file) (string, error) {
	stem := strings.TrimSuffix(f.name, filepath.Ext(f.name))
	dir := filepath.Join(b.root, stem+"-"+hash(append(b.included(f.text, map[string]bool{}), b.hash, f.name, string(f.text))...))
	path := filepath.Join(dir, "object.o")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, b.atomically(dir, func(tmp string) error {
		out := filepath.Join(tmp, "object.o")
		if filepath.Ext(f.name) == ".cpp" {
			return b.run("g++", f.text, slices.Concat(flags, []string{"-I", b.include, "-x", "c++", "-c", "-", "-o", out})...)
		}
		return b.kernelObject(stem, f.text, tmp, out)
	})
}

// link makes the libraries of kernels and of the driver.
func (b *builder) link(dir string, objects []string) error {
	var kernels, driver []string
	for _, o := range objects {
		if strings.HasPrefix(filepath.Base(filepath.Dir(o)), "driver") {
			driver = append(driver, o)
		} else {
			kernels = append(kernels, o)
		}
	}
	// The loader maps a file once: each worker needs a file, not only a name, of its own.
	for i := range workers {
		out := filepath.Join(dir, fmt.Sprintf("kernels%d.so", i))
		if err := b.run("g++", nil, append([]string{"-shared", "-Wl,-Bsymbolic", "-o", out}, kernels...)...); err != nil {
			return err
		}
	}
	args := []string{"-shared", "-pthread", "-Wl,-soname,libcuda.so.1", "-o", filepath.Join(dir, "libcuda.so.1")}
	if err := b.run("g++", nil, append(append(args, driver...), "-ldl")...); err != nil {
		return err
	}
	return os.Symlink("libcuda.so.1", filepath.Join(dir, "libnccl.so.2")) // it has NCCL's functions too
}

// run runs a command whose standard input is text. Its error has what the command said.
func (b *builder) run(name string, text []byte, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
