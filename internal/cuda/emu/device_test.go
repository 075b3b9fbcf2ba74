package emu

import (
	"runtime"
	"testing"
	"unsafe"
)

// kernelsDir has the kernels of the emulator's own tests.
const kernelsDir = "testdata"

func TestMain(m *testing.M) { Main(m, kernelsDir) }

// CUresults that tests expect.
const (
	invalidValue       = 1
	outOfMemory        = 2
	invalidContext     = 201
	notFound           = 500
	notReady           = 600
	illegalAddress     = 700
	launchFailed       = 719
	captureUnsupported = 900
	captureInvalidated = 901
	captureUnjoined    = 904
)

// device is the emulated device as one test uses it.
type device struct {
	t      *testing.T
	module uintptr
	out    []uint64 // what calls write to; it must not move
}

// open makes the device's context current until the test ends.
func open(t *testing.T) *device {
	t.Helper()
	if !Running() {
		t.Skip("needs the emulator")
	}
	if !load() {
		t.Fatal("libcuda.so.1 was not found")
	}
	runtime.LockOSThread()
	d := &device{t: t, out: make([]uint64, 8)}
	d.do("cuCtxSetCurrent", d.get("cuDevicePrimaryCtxRetain", 0))
	t.Cleanup(func() {
		call("cuDevicePrimaryCtxReset_v2", 0)
		call("cuDevicePrimaryCtxRelease_v2", 0)
		runtime.UnlockOSThread()
		SetMemory(4 << 30)
		Seed(1)
	})
	d.module = d.get("cuModuleLoadData", d.result())
	return d
}

// result is where a call may write a word.
func (d *device) result() uintptr { return uintptr(unsafe.Pointer(&d.out[0])) }

// do calls a function that must succeed.
func (d *device) do(name string, args ...uintptr) {
	d.t.Helper()
	d.fails(0, name, args...)
}

// fails calls a function that must return a CUresult.
func (d *device) fails(want int, name string, args ...uintptr) {
	d.t.Helper()
	if got := call(name, args...); got != want {
		d.t.Fatalf("%s returned %d, want %d", name, got, want)
	}
}

// get calls a function that writes a word to where its first parameter points.
func (d *device) get(name string, args ...uintptr) uintptr {
	d.t.Helper()
	d.do(name, append([]uintptr{d.result()}, args...)...)
	return uintptr(d.out[0])
}

// alloc returns device memory for n numbers.
func (d *device) alloc(n int) uintptr { d.t.Helper(); return d.get("cuMemAlloc_v2", uintptr(4*n)) }

// pinned returns pinned memory of n numbers.
func (d *device) pinned(n int) []int32 {
	d.t.Helper()
	p := d.get("cuMemHostAlloc", uintptr(4*n), 0)
	return unsafe.Slice(*(**int32)(unsafe.Pointer(&p)), n)
}

func addressOf(s []int32) uintptr { return uintptr(unsafe.Pointer(&s[0])) }

// upload returns device memory that holds s.
func (d *device) upload(s []int32) uintptr {
	d.t.Helper()
	host, p := d.pinned(len(s)), d.alloc(len(s))
	copy(host, s)
	d.do("cuMemcpyHtoD_v2", p, addressOf(host), uintptr(4*len(s)))
	return p
}

func (d *device) download(p uintptr, n int) []int32 {
	d.t.Helper()
	host := d.pinned(n)
	d.do("cuMemcpyDtoH_v2", addressOf(host), p, uintptr(4*n))
	return append([]int32(nil), host...)
}

// launch is a launch of a kernel of testdata.
type launch struct {
	kernel      string
	grid, block [3]uintptr // 0 is 1
	shared      uintptr
	stream      uintptr
	args        []uint64
}

func one(n uintptr) uintptr { return max(n, 1) }

// issue returns the CUresult of cuLaunchKernel.
func (d *device) issue(l launch) int {
	d.t.Helper()
	name := append([]byte(l.kernel), 0)
	f := d.get("cuModuleGetFunction", d.module, uintptr(unsafe.Pointer(&name[0])))
	return d.issueFunction(f, l)
}

func (d *device) issueFunction(f uintptr, l launch) int {
	places := make([]unsafe.Pointer, len(l.args)+1)
	for i := range l.args {
		places[i] = unsafe.Pointer(&l.args[i])
	}
	r := call("cuLaunchKernel", f, one(l.grid[0]), one(l.grid[1]), one(l.grid[2]), one(l.block[0]), one(l.block[1]), one(l.block[2]),
		l.shared, l.stream, uintptr(unsafe.Pointer(&places[0])), 0)
	runtime.KeepAlive(places)
	return r
}

func (d *device) run(l launch) {
	d.t.Helper()
	if r := d.issue(l); r != 0 {
		d.t.Fatalf("launch of %s returned %d", l.kernel, r)
	}
}

func args(values ...uintptr) []uint64 {
	var words []uint64
	for _, v := range values {
		words = append(words, uint64(v))
	}
	return words
}

func numbers(n int, f func(i int) int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = int32(f(i))
	}
	return s
}

func (d *device) want(what string, got, want []int32) {
	d.t.Helper()
	for i := range want {
		if got[i] != want[i] {
			d.t.Fatalf("%s: number %d is %d, want %d", what, i, got[i], want[i])
		}
	}
}
