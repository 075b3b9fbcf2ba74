package cuda

import (
	"errors"
	"flag"
	"sync"
	"testing"
	"unsafe"

	"senet/internal/backend"
	"senet/internal/backend/backendtest"
	"senet/internal/cuda/emu"
	"senet/internal/kernels"
)

// precisions with how far an op may be off: half a unit in the last place of a bfloat16 is 2^-9, of a float16 2^-12, and
// tf32 rounds the factors of products to 2^-12. What a whole network's gradient may be off is a third more than the
// greatest distance found here, with one image in four and eight channels: an op's own error is what the first bound finds.
var precisions = []struct {
	of kernels.Precision
	o  backendtest.Options
}{
	{kernels.Float32, backendtest.Options{}},
	{kernels.TF32, backendtest.Options{Tolerance: 2e-3, Network: 7e-2}},
	{kernels.BFloat16, backendtest.Options{Tolerance: 1.5e-2, Network: 0.4, Round: func(x float32) float32 { return bf16Float(bf16Bits(x)) }}},
	{kernels.Float16, backendtest.Options{Tolerance: 2e-3, Network: 0.16, Round: func(x float32) float32 { return f16Float(f16Bits(x)) }}},
}

var (
	seed = flag.Uint64("seed", 0, "of the order of threads, blocks and streams on the emulator")
	own  = flag.Bool("own", false, "convolve with our own kernels alone")
)

// TestConformance runs the suite that every backend passes, in each precision, on the emulated driver or with -gpu on the device.
func TestConformance(t *testing.T) {
	emu.Seed(*seed)
	for _, p := range precisions {
		if testing.Short() && p.of != kernels.BFloat16 {
			continue
		}
		t.Run(p.of.String(), func(t *testing.T) {
			p.o.Ranked = func(t testing.TB, ranks int) []backend.Backend {
				if ranks > 2 && p.of != kernels.Float32 {
					t.Skip("what is exchanged is float32 or bfloat16 in each precision")
				}
				return openRanks(t, ranks, p.of)
			}
			backendtest.RunAll(t, func(t testing.TB) backend.Backend {
				b := open(t, p.of)
				if emu.Running() && p.of == kernels.Float16 {
					b.device.sms = 1 // few blocks: kernels that take several rounds over their data do so on small ones too
				}
				return b
			}, p.o)
		})
	}
}

// TestConformanceOnCuDNN: convolutions as cuDNN gets them, computed by a stand-in that has nothing but the descriptors of their
// graphs, are the oracle's too, in networks and captured graphs as well; cuDNN is given all that it can have.
func TestConformanceOnCuDNN(t *testing.T) {
	if !emu.Running() {
		t.Skip("on a device TestConformance runs on cuDNN")
	}
	emu.Seed(*seed)
	library := buildCuDNN(t)
	for _, p := range precisions {
		if p.of != kernels.BFloat16 && (p.of != kernels.Float32 || testing.Short()) {
			continue // to the stand-in TF32 is float32, and fp16 another name
		}
		t.Run(p.of.String(), func(t *testing.T) {
			p.o.Only = []string{"conv", "conv_inference"}
			var all []*Backend
			backendtest.RunAll(t, func(t testing.TB) backend.Backend {
				b := openOnCuDNN(t, p.of, library)
				all = append(all, b)
				return b
			}, p.o)
			ran := 0
			for _, b := range all {
				for pattern, plan := range b.plans {
					if plan == nil {
						t.Errorf("not on cuDNN: %s", pattern)
					}
					ran++
				}
			}
			if ran < 50 {
				t.Errorf("only %d convolutions", ran)
			}
		})
	}
}

// openOnCuDNN is open with the cuDNN in a file.
func openOnCuDNN(t testing.TB, p kernels.Precision, library string) *Backend {
	t.Helper()
	b := open(t, p)
	if err := b.device.do(func() (err error) {
		b.library, err = openCuDNNAt(library, uintptr(unsafe.Pointer(b.compute.c())), "")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

// openRanks are the ranks of one job, each on a device of its own.
func openRanks(t testing.TB, ranks int, p kernels.Precision) []backend.Backend {
	t.Helper()
	emu.SetDevices(ranks)
	t.Cleanup(func() { emu.SetDevices(1) })
	if n := len(Probe().Devices); n < ranks {
		t.Skipf("%d ranks need as many GPUs, there are %d", ranks, n)
	}
	id, err := NewUniqueID()
	if err != nil {
		t.Fatal(err)
	}
	all, errs := make([]backend.Backend, ranks), make([]error, ranks)
	eachRank(ranks, func(rank int) {
		all[rank], errs[rank] = New(Options{Index: rank, Precision: p, Rank: rank, Ranks: ranks, UniqueID: id})
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eachRank(ranks, func(rank int) { errs[rank] = all[rank].Close() })
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
	return all
}

// eachRank runs f for each rank, all at once.
func eachRank(ranks int, f func(rank int)) {
	var running sync.WaitGroup
	for rank := range ranks {
		running.Go(func() { f(rank) })
	}
	running.Wait()
}

// open is a backend that is closed with the test.
func open(t testing.TB, p kernels.Precision) *Backend {
	t.Helper()
	b, err := New(Options{Precision: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if *own && b.library != nil {
		if err := b.device.do(b.library.close); err != nil {
			t.Fatal(err)
		}
		b.library = nil
	}
	return b
}
