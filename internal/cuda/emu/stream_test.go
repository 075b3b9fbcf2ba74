package emu

import (
	"testing"
	"unsafe"
)

func bytesAddress(s []byte) uintptr { return uintptr(unsafe.Pointer(&s[0])) }

const nonBlocking = 1

func (d *device) stream() uintptr { d.t.Helper(); return d.get("cuStreamCreate", nonBlocking) }

func (d *device) event() uintptr { d.t.Helper(); return d.get("cuEventCreate", 0) }

const count = 1000 // numbers

// add issues y = x + plus.
func (d *device) add(stream, y, x, plus uintptr) {
	d.t.Helper()
	d.run(launch{kernel: "convert_add", grid: [3]uintptr{2}, block: [3]uintptr{64}, stream: stream, args: args(y, x, count, plus)})
}

// pipeline copies numbers to the device on one stream and adds 1 on another, which waits for the copy or not.
func pipeline(d *device, wait bool) []int32 {
	upload, compute, copied := d.stream(), d.stream(), d.event()
	host, x, y := d.pinned(count), d.alloc(count), d.alloc(count)
	for i := range host {
		host[i] = int32(i)
	}
	d.do("cuMemcpyHtoDAsync_v2", x, addressOf(host), 4*count, upload)
	d.do("cuEventRecord", copied, upload)
	if wait {
		d.do("cuStreamWaitEvent", compute, copied, 0)
	}
	d.add(compute, y, x, 1)
	d.do("cuStreamSynchronize", compute)
	return d.download(y, count)
}

func TestStreamsWaitForEvents(t *testing.T) {
	d := open(t)
	wrong := 0
	for seed := range uint64(3) {
		Seed(seed)
		d.want("with a wait", pipeline(d, true), numbers(count, func(i int) int { return i + 1 }))
		if pipeline(d, false)[count-1] != count {
			wrong++
		}
	}
	if wrong == 0 {
		t.Error("a missing wait shows under no seed")
	}
}

func TestCopiesReadTheHostWhenTheyRun(t *testing.T) {
	d := open(t)
	s, host, x := d.stream(), d.pinned(count), d.alloc(count)
	host[5] = 1
	d.do("cuMemcpyHtoDAsync_v2", x, addressOf(host), 4*count, s)
	host[5] = 2
	d.do("cuStreamSynchronize", s)
	if got := d.download(x, count)[5]; got != 2 {
		t.Errorf("the copy has %d of the time of its call", got)
	}
}

func TestQueriesEnd(t *testing.T) {
	d := open(t)
	s, e, x := d.stream(), d.event(), d.alloc(count)
	d.do("cuEventQuery", e) // never recorded
	d.add(s, x, x, 1)
	d.do("cuEventRecord", e, s)
	d.fails(notReady, "cuEventQuery", e)
	for i := 0; call("cuStreamQuery", s) != 0; i++ {
		if i > 10 {
			t.Fatal("the stream never ends")
		}
	}
	d.do("cuEventQuery", e)
	d.do("cuEventElapsedTime", d.result(), e, e)
}

func TestCaptureAndReplay(t *testing.T) {
	const threadLocal = 1
	for seed := range uint64(3) {
		d := open(t)
		Seed(seed)
		s, side, forked, joined := d.stream(), d.stream(), d.event(), d.event()
		x := d.upload(numbers(count, func(i int) int { return i }))
		y, z := d.alloc(count), d.alloc(count)
		d.do("cuStreamBeginCapture_v2", s, threadLocal)
		d.add(s, x, x, 1)
		d.do("cuEventRecord", forked, s)
		d.do("cuStreamWaitEvent", side, forked, 0)
		d.add(side, y, x, 10)
		d.do("cuEventRecord", joined, side)
		d.do("cuStreamWaitEvent", s, joined, 0)
		d.add(s, z, y, 100)
		graph := d.get2("cuStreamEndCapture", s)
		executable := d.get("cuGraphInstantiateWithFlags", graph, 0)
		d.do("cuGraphDestroy", graph)
		d.want("before the launch", d.download(x, count), numbers(count, func(i int) int { return i }))
		for range 3 {
			d.do("cuGraphLaunch", executable, s)
		}
		d.do("cuStreamSynchronize", s)
		d.want("after three launches", d.download(z, count), numbers(count, func(i int) int { return i + 113 }))
		d.do("cuGraphExecDestroy", executable)
		d.fails(400, "cuGraphLaunch", executable, s)
	}
}

// get2 is get for a function whose result is its second parameter.
func (d *device) get2(name string, arg uintptr) uintptr {
	d.t.Helper()
	d.do(name, arg, d.result())
	return uintptr(d.out[0])
}

func TestCapturesThatBreak(t *testing.T) {
	const threadLocal = 1
	for name, test := range map[string]struct {
		f    func(d *device, s, side uintptr)
		want int
	}{
		"by an allocation": {func(d *device, _, _ uintptr) {
			d.fails(captureUnsupported, "cuMemAlloc_v2", d.result(), 4)
		}, captureInvalidated},
		"by a wait": {func(d *device, s, _ uintptr) {
			d.fails(captureUnsupported, "cuStreamSynchronize", s)
		}, captureInvalidated},
		"by work that is not joined": {func(d *device, s, side uintptr) {
			e, x := d.event(), uintptr(d.out[1])
			d.do("cuEventRecord", e, s)
			d.do("cuStreamWaitEvent", side, e, 0)
			d.add(side, x, x, 1)
		}, captureUnjoined},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			s, side := d.stream(), d.stream()
			d.out[1] = uint64(d.alloc(count))
			d.do("cuStreamBeginCapture_v2", s, threadLocal)
			test.f(d, s, side)
			d.fails(test.want, "cuStreamEndCapture", s, d.result())
			d.do("cuStreamSynchronize", s)
		})
	}
}

func TestMemoryRunsOut(t *testing.T) {
	d := open(t)
	SetMemory(1 << 20)
	p := d.get("cuMemAlloc_v2", 900<<10)
	d.fails(outOfMemory, "cuMemAlloc_v2", d.result(), 200<<10)
	d.do("cuMemGetInfo_v2", d.result(), d.result()+8)
	if d.out[0] != 124<<10 || d.out[1] != 1<<20 {
		t.Errorf("free and total: %v", d.out[:2])
	}
	d.do("cuMemFree_v2", p)
	d.do("cuMemAlloc_v2", d.result(), 1<<20)
	d.fails(invalidValue, "cuMemFree_v2", p+4)
}

func TestFreshMemoryIsNaN(t *testing.T) {
	d := open(t)
	d.want("fresh memory", d.download(d.alloc(count), count), numbers(count, func(int) int { return -1 }))
}

func TestCopiesStayInBounds(t *testing.T) {
	d := open(t)
	host, x := d.pinned(count), d.alloc(count)
	d.fails(invalidValue, "cuMemcpyHtoD_v2", x, addressOf(host), 4*count+1)
	d.fails(invalidValue, "cuMemcpyHtoD_v2", addressOf(host), x, 4)
	d.fails(invalidValue, "cuMemsetD32_v2", x, 0, count+1)
	d.do("cuMemsetD32_v2", x+4, 3, count-1)
	if got := d.download(x, count); got[0] != -1 || got[1] != 3 || got[count-1] != 3 {
		t.Errorf("after a fill: %d, %d .. %d", got[0], got[1], got[count-1])
	}
}

func TestFailAt(t *testing.T) {
	d := open(t)
	FailAt("cuMemAlloc", 2, outOfMemory)
	d.do("cuMemAlloc_v2", d.result(), 4)
	d.do("cuMemFree_v2", uintptr(d.out[0]))
	d.fails(outOfMemory, "cuMemAlloc_v2", d.result(), 4)
	d.do("cuMemAlloc_v2", d.result(), 4)
}

func TestCallsNeedAContext(t *testing.T) {
	d := open(t)
	d.do("cuCtxSetCurrent", 0)
	d.fails(invalidContext, "cuMemAlloc_v2", d.result(), 4)
}
