package emu

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestBlockSum(t *testing.T) {
	const blocks = 5
	x := numbers(256*blocks, func(i int) int { return i*i%1009 - 100 })
	want := make([]int32, blocks)
	for i, v := range x {
		want[i/256] += v
	}
	for seed := range 3 {
		for _, shared := range []uintptr{0, 1024} {
			t.Run(fmt.Sprintf("seed %d, %d bytes", seed, shared), func(t *testing.T) {
				d := open(t)
				Seed(uint64(seed))
				kernel := map[bool]string{true: "block_sum_i32", false: "block_sum_dynamic"}[shared == 0]
				sums := d.alloc(blocks)
				d.run(launch{kernel: kernel, grid: [3]uintptr{blocks}, block: [3]uintptr{256}, shared: shared, args: args(sums, d.upload(x))})
				d.want("sums", d.download(sums, blocks), want)
			})
		}
	}
}

// A removed barrier must change the result under one of the three seeds of TestBlockSum.
func TestMissingBarrierIsFound(t *testing.T) {
	for _, barrier := range []string{"__syncthreads();  // all parts are there", "__syncthreads();  // the half is summed"} {
		dir, err := BuildMutated(kernelsDir, "block_sum.cu", barrier, "")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestBlockSum$")
		cmd.Env = Environ(dir)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "sums: number") {
			t.Errorf("without %q the sums are right: %v\n%s", barrier, err, out)
		}
	}
}

func TestMutationOccursOnce(t *testing.T) {
	for _, old := range []string{"__syncthreads", "no such text"} {
		if _, err := BuildMutated(kernelsDir, "block_sum.cu", old, ""); err == nil || !strings.Contains(err.Error(), "want once") {
			t.Errorf("%q: %v", old, err)
		}
	}
}

func TestBuildReportsWhatIsWrong(t *testing.T) {
	const head = "#include \"emu.hpp\"\n"
	for name, test := range map[string]struct{ text, want string }{
		"an error":           {head + "extern \"C\" __global__ void k(int* y) { y[0] = undeclared; }", "k.cu:2:"},
		"no kernel":          {head, "k.cu has no kernel"},
		"a kernel of C++":    {head + "__global__ void k(int* y) { y[0] = 1; }", "is not written: extern"},
		"no header":          {"#include \"absent.cuh\"", "absent.cuh"},
		"an unknown builtin": {head + "extern \"C\" __global__ void k(int* y) { y[0] = __unknown(); }", "__unknown"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "k.cu"), []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Build(dir); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := BuildMutated(kernelsDir, "absent.cu", "a", "b"); err == nil {
		t.Error("a file that is not there was mutated")
	}
}

func TestWarpFunctions(t *testing.T) {
	d := open(t)
	for seed := range uint64(3) {
		Seed(seed)
		y := d.alloc(512)
		d.run(launch{kernel: "warp_all", block: [3]uintptr{64}, args: args(y)})
		got := d.download(y, 512)
		for i := range 64 {
			lane := i % 32
			down, up := lane+3, lane-2
			if down > 31 {
				down = lane
			}
			if up < 0 {
				up = lane
			}
			shuffled := (((lane^1)*32+down)*32+up)*32 + lane&^7 + 1
			half := 100
			if lane < 16 {
				half = lane ^ 15
			}
			want := []int{shuffled, shuffled, shuffled, shuffled, 0x49249249, half, 31 - lane, 2}
			for row, w := range want {
				if got[64*row+i] != int32(w) {
					t.Fatalf("seed %d, row %d, thread %d: %d, want %d", seed, row, i, got[64*row+i], w)
				}
			}
		}
	}
	y := d.alloc(20)
	d.run(launch{kernel: "warp_some_ended", block: [3]uintptr{32}, args: args(y)})
	d.want("votes", d.download(y, 20), numbers(20, func(int) int { return 20 }))
}

// Each block and each thread of three-dimensional grids and blocks comes once.
func TestEveryThreadRunsOnce(t *testing.T) {
	d := open(t)
	y := d.upload([]int32{0, 0})
	d.run(launch{kernel: "warp_count", grid: [3]uintptr{7, 5, 3}, block: [3]uintptr{11, 3, 2}, args: args(y, 9)})
	d.want("count and largest indices", d.download(y, 2), []int32{7 * 5 * 3 * 11 * 3 * 2 * 9, 6 + 40 + 200 + 1000})
}

func TestSharedMemoryStartsAsNaN(t *testing.T) {
	d := open(t)
	y := d.alloc(40)
	d.run(launch{kernel: "misuse_fresh_shared", grid: [3]uintptr{20}, shared: 16, args: args(y)})
	d.want("shared memory", d.download(y, 40), numbers(40, func(int) int { return -1 }))
}

// nearest is what x becomes in a format with so many bits of exponent and mantissa, found by search among all of its
// values, not by the rounding that the emulator does.
func nearest(x float32, widen *[65536]uint32) uint16 {
	switch {
	case x != x:
		return 0x7fff
	case math.Signbit(float64(x)):
		return nearest(-x, widen) | 0x8000
	}
	// Values of positive patterns grow with the pattern.
	low, high := 0, 0x7fff
	for low < high {
		mid := (low + high + 1) / 2
		if v := math.Float32frombits(widen[mid]); v <= x {
			low = mid
		} else {
			high = mid - 1
		}
	}
	a := float64(math.Float32frombits(widen[low]))
	b := float64(math.Float32frombits(widen[low+1]))
	if math.IsInf(a, 0) {
		return uint16(low)
	}
	if math.IsInf(b, 0) { // as if the format went on
		b = 2*a - float64(math.Float32frombits(widen[low-1]))
	}
	below, above := float64(x)-a, b-float64(x)
	if below > above || below == above && low%2 == 1 {
		low++
	}
	return uint16(low)
}

func TestConversions(t *testing.T) {
	d := open(t)
	var wide [2][65536]uint32
	p, q := d.alloc(65536), d.alloc(65536)
	d.run(launch{kernel: "convert_widen", grid: [3]uintptr{256}, block: [3]uintptr{256}, args: args(p, q)})
	for format, p := range []uintptr{p, q} {
		for i, v := range d.download(p, 65536) {
			wide[format][i] = uint32(v)
		}
	}
	for i := range 65536 {
		if wide[0][i] != uint32(i)<<16 {
			t.Fatalf("bfloat16 %#x becomes %#x", i, wide[0][i])
		}
		if want := widenHalf(uint16(i)); wide[1][i] != math.Float32bits(want) && want == want {
			t.Fatalf("binary16 %#x becomes %#x", i, wide[1][i])
		}
	}
	// Around each value of both formats and around the middle to the next one.
	var x []int32
	for i := range 65536 {
		for format := range wide {
			for off := -1; off <= 1; off++ {
				half := uint32(1) << [2]int{15, 12}[format]
				x = append(x, int32(wide[format][i]+uint32(off)), int32(wide[format][i]+half+uint32(off)))
			}
		}
	}
	for i := range uint32(1 << 16) { // binary16's denormals lie wide apart
		x = append(x, int32(bits.Reverse32(i)), int32(0x33000000+i<<8))
	}
	narrow := [2]uintptr{d.alloc(len(x)/2 + 1), d.alloc(len(x)/2 + 1)}
	d.run(launch{kernel: "convert_narrow", grid: [3]uintptr{64}, block: [3]uintptr{256}, args: args(narrow[0], narrow[1], d.upload(x), uintptr(len(x)))})
	for format, name := range []string{"bfloat16", "binary16"} {
		for i, pair := range d.download(narrow[format], len(x)/2) {
			for j, got := range []uint16{uint16(pair), uint16(uint32(pair) >> 16)} {
				v := math.Float32frombits(uint32(x[2*i+j]))
				if want := nearest(v, &wide[format]); got != want {
					t.Fatalf("%g (%#x) becomes %s %#x, want %#x", v, uint32(x[2*i+j]), name, got, want)
				}
			}
		}
	}
}

// widenHalf is binary16 by its definition.
func widenHalf(h uint16) float32 {
	sign, exponent, mantissa := 1-2*float64(h>>15), int(h>>10&31), float64(h&0x3ff)
	switch exponent {
	case 0:
		if mantissa == 0 {
			return float32(math.Copysign(0, sign))
		}
		return float32(sign * math.Ldexp(mantissa, -24))
	case 31:
		if mantissa != 0 {
			return float32(math.NaN())
		}
		return float32(math.Inf(int(sign)))
	}
	return float32(sign * math.Ldexp(1024+mantissa, exponent-25))
}
