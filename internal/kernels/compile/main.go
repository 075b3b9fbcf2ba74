// Command compile compiles the CUDA kernels of internal/kernels for every architecture and packs them into the
// archive that package kernels embeds. It needs NVRTC and CUDA's headers, but neither a GPU nor a driver. What did not
// change since the last run is taken from a cache.
//
//	go run ./internal/kernels/compile
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// target is what the kernels are compiled for: machine code of an architecture, which runs on the same major and any
// later minor version, or PTX of a virtual one, which the driver compiles when it loads it.
type target struct {
	name    string
	machine bool
}

// targets are the architectures with bfloat16: A100, RTX 30, L4 and RTX 40, H100 and H200, B200, RTX 50. Machine code
// starts at once and runs on every driver of CUDA 12. PTX of the oldest architecture is for those that are newer than
// the compiler, since PTX runs on all that are not older than its own, given a driver that knows this version of PTX.
var targets = []target{
	{"sm_80", true},
	{"sm_86", true},
	{"sm_89", true},
	{"sm_90", true},
	{"sm_100", true},
	{"sm_120", true},
	{"compute_80", false},
}

// fixed are the options of every compilation. Multiplies and adds contract to fused ones, the default: one rounding
// less. There is no --use_fast_math: its exp, division and square root err by several units in the last place and it
// flushes denormals, while the kernels are bound by memory.
var fixed = []string{"-std=c++17", "--ptxas-options=-v"}

// job is one source for one target.
type job struct {
	source source
	target target
}

func (j job) extension() string {
	if j.target.machine {
		return ".cubin"
	}
	return ".ptx"
}

// entry is the name of the compiled file in the archive, e.g. sm_90/relu.cubin.
func (j job) entry() string { return j.target.name + "/" + j.source.stem + j.extension() }

// builder compiles, or finds in its cache.
type builder struct {
	cuda, cache, version string
	kernels              string // folder of the sources
}

func (b builder) options(t target) []string {
	return append([]string{"--gpu-architecture=" + t.name, "-I" + b.kernels, "-I" + filepath.Join(b.cuda, "include")}, fixed...)
}

// path is where the cache holds j, less the extension: the image and, written before it, the log.
func (b builder) path(j job) string {
	return filepath.Join(b.cache, fmt.Sprintf("%s.%s.%s", j.source.stem, j.target.name, j.source.key(j.target, b.version)))
}

// build returns the compiled j.
func (b builder) build(j job) (result, error) {
	stem := b.path(j)
	image, err := os.ReadFile(stem + j.extension())
	if err == nil {
		log, err := os.ReadFile(stem + ".log")
		if err == nil {
			return result{image, string(log)}, nil
		}
	}
	made, err := compile(j.source.text, j.source.stem+".cu", b.options(j.target), j.target.machine)
	if err != nil {
		return result{}, fmt.Errorf("%s.cu for %s: %w", j.source.stem, j.target.name, err)
	}
	if err := write(stem+".log", []byte(made.log)); err != nil {
		return result{}, err
	}
	return made, write(stem+j.extension(), made.image)
}

// buildAll builds the jobs, one a core at once, and returns the results in their order, or the first error of each source:
// the other targets nearly always repeat it.
func (b builder) buildAll(jobs []job) ([]result, error) {
	results, errs := make([]result, len(jobs)), make([]error, len(jobs))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for i, j := range jobs {
		slots <- struct{}{}
		wg.Go(func() {
			results[i], errs[i] = b.build(j)
			<-slots
		})
	}
	wg.Wait()
	failed := map[string]bool{}
	for i, j := range jobs {
		if failed[j.source.stem] {
			errs[i] = nil
		}
		failed[j.source.stem] = failed[j.source.stem] || errs[i] != nil
	}
	return results, errors.Join(errs...)
}

// prune removes from the cache what is not of these jobs, except what another run is writing.
func (b builder) prune(jobs []job) error {
	used := map[string]bool{}
	for _, j := range jobs {
		used[b.path(j)+j.extension()], used[b.path(j)+".log"] = true, true
	}
	entries, err := os.ReadDir(b.cache)
	for _, e := range entries {
		path := filepath.Join(b.cache, e.Name())
		if used[path] || filepath.Ext(path) == ".new" {
			continue
		}
		if e := os.Remove(path); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// write puts data at path as a whole or not at all.
func write(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// run compiles the sources in folder kernels and writes its kernels.zip.
func run(cuda, kernels string) error {
	version, err := openNVRTC(filepath.Join(cuda, "lib", "libnvrtc.so.12"))
	if err != nil {
		return err
	}
	b := builder{cuda: cuda, cache: filepath.Join(cuda, "cubin"), version: version, kernels: kernels}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return err
	}
	sources, err := readSources(kernels, filepath.Join(cuda, "include"))
	if err != nil {
		return err
	}
	var jobs []job
	for _, s := range sources {
		for _, t := range targets {
			jobs = append(jobs, job{s, t})
		}
	}
	results, err := b.buildAll(jobs)
	if err != nil {
		return err
	}
	data, err := archive(jobs, results)
	if err != nil {
		return err
	}
	return errors.Join(write(filepath.Join(kernels, "kernels.zip"), data), b.prune(jobs))
}

func main() {
	cuda := flag.String("cuda", ".deps/cuda", "`folder` with CUDA's include and lib")
	flag.Parse()
	if err := run(*cuda, "internal/kernels"); err != nil {
		fmt.Fprintln(os.Stderr, "compile: "+strings.ReplaceAll(err.Error(), "\n", "\n  "))
		os.Exit(1)
	}
}
