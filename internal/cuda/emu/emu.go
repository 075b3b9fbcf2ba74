// Package emu is a CUDA driver for tests on machines without a GPU: a libcuda.so.1 that keeps device memory in host
// memory and runs our kernels, compiled by g++, with a fiber for each thread, and a libnccl.so.2 for ranks that share the process,
// each with a device of its own. It finds what a device would hide or show
// once in a thousand runs: threads, blocks and streams run in an order that a seed picks, memory that nothing has
// written is NaN, and what lies around an allocation is guarded.
//
//	func TestMain(m *testing.M) { emu.Main(m, "../kernels") }
//
// The tests of a package with this TestMain run on the emulator, or on the machine's driver with the flag -gpu.
package emu

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

typedef uintptr_t u;
typedef int (*function)(u, u, u, u, u, u, u, u, u, u, u);

// Calls a function of the driver with 11 words, of which it takes as many as it has parameters; -1 where it has none
// of that name. On x86-64 and arm64 words beyond the last parameter do no harm.
static int senet_call(const char* name, const u* a) {
  void* lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  function f = lib ? (function)dlsym(lib, name) : 0;
  if (lib) dlclose(lib);
  return f ? f(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10]) : -1;
}

static int senet_load(void) { return dlopen("libcuda.so.1", RTLD_NOW) != 0; }
*/
import "C"

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// onGPU leaves the machine's own driver in place.
var onGPU = flag.Bool("gpu", false, "run the tests on this machine's GPU and not on the emulator")

// running is set in the environment of a process that runs on the emulator, to the folder of its libcuda.so.1.
const running = "SENET_EMULATOR"

// Main runs the tests of a package on the emulator with the kernels of a folder, and ends the process. The dynamic
// loader looks for libcuda.so.1 where the environment said when the process started, so Main starts it anew.
func Main(m *testing.M, kernelsDir string) {
	flag.Parse()
	if *onGPU || os.Getenv(running) != "" {
		os.Exit(m.Run())
	}
	dir, err := Build(kernelsDir)
	if err == nil {
		err = restart(dir)
	}
	fmt.Fprintln(os.Stderr, "emulator:", err)
	os.Exit(1)
}

// Environ is the environment of this process, changed so that a process started with it runs on the libcuda.so.1 in dir.
func Environ(dir string) []string {
	path := dir
	if old := os.Getenv("LD_LIBRARY_PATH"); old != "" {
		path += ":" + old
	}
	return append(os.Environ(), running+"="+dir, "LD_LIBRARY_PATH="+path)
}

// restart returns only if it fails.
func restart(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, Environ(dir))
}

// Running reports whether this process runs on the emulator.
func Running() bool { return os.Getenv(running) != "" && !*onGPU }

// Seed picks the order in which threads, blocks and streams run from now on. Without the emulator it does nothing, as
// do the functions below.
func Seed(seed uint64) { call("senet_emu_seed", uintptr(seed)) }

// SetMemory sets the size of device memory in bytes; 4 GiB at the start. What is allocated stays.
func SetMemory(bytes int64) { call("senet_emu_memory", uintptr(bytes)) }

// SetDevices sets how many devices there are, 1 at the start and 8 at most. They are alike and share their memory.
func SetDevices(n int) { call("senet_emu_devices", uintptr(n)) }

// Trace runs f and returns what was issued to streams meanwhile, a line each: "3 sgd_f32" for a kernel on stream number 3,
// "4 all_reduce 1000" for a sum of so many elements, "3 waits for 4" where a stream waits for an event recorded on another one,
// "3 launches a graph". Of work that was captured "captured" stands after the number.
func Trace(f func()) []string {
	call("senet_emu_trace", 0, 0)
	f()
	buffer := make([]byte, 16<<20)
	call("senet_emu_trace", uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)))
	text, _, _ := strings.Cut(string(buffer), "\x00")
	return strings.Split(strings.TrimSpace(text), "\n")
}

// FailAt makes the n-th call from now, counted from 1, of a function of the driver or of NCCL return a CUresult or ncclResult_t
// without doing anything, once: FailAt("cuMemAlloc", 3, 2). The name is that of the documentation, without a version at its end.
func FailAt(function string, n, result int) {
	name := C.CString(function)
	defer C.free(unsafe.Pointer(name))
	call("senet_emu_fail", uintptr(unsafe.Pointer(name)), uintptr(n), uintptr(result))
}

// call calls a function of the driver, which it loads where that is the emulator, and returns its result, -1 if there is no such
// function.
func call(name string, args ...uintptr) int {
	if Running() {
		load()
	}
	var words [11]C.u
	for i, a := range args {
		words[i] = C.u(a)
	}
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	return int(C.senet_call(s, &words[0]))
}

// load loads the driver, which a program does by linking to it.
func load() bool { return C.senet_load() != 0 }
