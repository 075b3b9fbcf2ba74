package emu

import "testing"

// Failures of the device are found when the host waits for it, and stay.
func TestFailuresOnTheDevice(t *testing.T) {
	tests := map[string]struct {
		l    func(d *device) launch
		want int
	}{
		"a thread ends, the others wait at a barrier": {func(d *device) launch {
			return launch{kernel: "misuse_early_end", block: [3]uintptr{32}, args: args(d.alloc(32))}
		}, launchFailed},
		"a part of a warp waits at a barrier": {func(d *device) launch {
			return launch{kernel: "misuse_two_kinds", block: [3]uintptr{64}, args: args(d.alloc(64))}
		}, launchFailed},
		"lanes call different functions": {func(d *device) launch {
			return launch{kernel: "misuse_mixed_warp", block: [3]uintptr{32}, args: args(d.alloc(32))}
		}, launchFailed},
		"a write one behind an allocation": {func(d *device) launch {
			return launch{kernel: "misuse_write", args: args(d.alloc(100), 90, 11)}
		}, illegalAddress},
		"a write one before an allocation": {func(d *device) launch {
			return launch{kernel: "misuse_write", args: args(d.alloc(100), ^uintptr(0), 3)}
		}, illegalAddress},
		"a write far from an allocation": {func(d *device) launch {
			return launch{kernel: "misuse_write", args: args(d.alloc(100), 5000, 1)}
		}, illegalAddress},
		"a write to address 0": {func(*device) launch {
			return launch{kernel: "misuse_write", args: args(0, 0, 1)}
		}, illegalAddress},
		"an address of the host": {func(d *device) launch {
			return launch{kernel: "misuse_write", args: args(addressOf(d.pinned(4)), 0, 1)}
		}, illegalAddress},
		"a division by 0": {func(d *device) launch {
			return launch{kernel: "misuse_divide", args: args(d.alloc(2), 0)}
		}, launchFailed},
		"an overrun stack": {func(d *device) launch {
			return launch{kernel: "misuse_stack", args: args(d.alloc(1), 100)}
		}, illegalAddress},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			d.run(test.l(d))
			d.fails(test.want, "cuCtxSynchronize")
			d.fails(test.want, "cuMemAlloc_v2", d.result(), 4)
		})
	}
}

// The emulator handles the signals of its kernels only.
func TestGoStillSeesItsOwnFaults(t *testing.T) {
	open(t)
	defer func() {
		if recover() == nil {
			t.Error("reading through a nil pointer went unnoticed")
		}
	}()
	var p *device
	t.Log(p.module)
}

func TestLaunchesThatNoDeviceTakes(t *testing.T) {
	d := open(t)
	y := d.alloc(4096)
	name := []byte("block_sum_dynamic\x00misuse_write\x00block_sum_i32\x00none\x00")
	f := d.get("cuModuleGetFunction", d.module, bytesAddress(name))
	write := d.get("cuModuleGetFunction", d.module, bytesAddress(name[18:]))
	bounded := d.get("cuModuleGetFunction", d.module, bytesAddress(name[31:]))
	d.fails(notFound, "cuModuleGetFunction", d.result(), d.module, bytesAddress(name[45:]))
	for what, l := range map[string]launch{
		"threads":     {block: [3]uintptr{1025}},
		"threads x y": {block: [3]uintptr{64, 17}},
		"z":           {block: [3]uintptr{1, 1, 65}},
		"grid y":      {grid: [3]uintptr{1, 65536}},
		"shared":      {shared: 48<<10 + 1},
	} {
		l.args = args(y, 0, 0)
		if r := d.issueFunction(write, l); r != invalidValue {
			t.Errorf("%s: %d", what, r)
		}
	}
	if r := call("cuLaunchKernel", write, 0, 1, 1, 1, 1, 1, 0, 0, d.result(), 0); r != invalidValue {
		t.Errorf("an empty grid: %d", r)
	}
	if r := d.issueFunction(bounded, launch{block: [3]uintptr{512}, args: args(y, y)}); r != invalidValue {
		t.Errorf("more threads than __launch_bounds__: %d", r)
	}
	const maxDynamicShared = 8
	d.fails(invalidValue, "cuFuncSetAttribute", f, maxDynamicShared, 227<<10+1)
	d.do("cuFuncSetAttribute", f, maxDynamicShared, 227<<10)
	if r := d.issueFunction(f, launch{block: [3]uintptr{256}, shared: 227 << 10, args: args(y, y)}); r != 0 {
		t.Errorf("all shared memory: %d", r)
	}
	d.do("cuCtxSynchronize")
}

func TestParametersAreListed(t *testing.T) {
	d := open(t)
	name := []byte("misuse_write\x00")
	f := d.get("cuModuleGetFunction", d.module, bytesAddress(name))
	for i, want := range [][2]uint64{{0, 8}, {8, 8}, {16, 4}} {
		d.do("cuFuncGetParamInfo", f, uintptr(i), d.result(), d.result()+8)
		if d.out[0] != want[0] || d.out[1] != want[1] {
			t.Errorf("parameter %d: offset and size %v, want %v", i, d.out[:2], want)
		}
	}
	d.fails(invalidValue, "cuFuncGetParamInfo", f, 3, d.result(), d.result())
}
