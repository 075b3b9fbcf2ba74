package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"senet/internal/cuda/emu"
	"senet/internal/kernels"
)

// TestOneRank: a communicator of one rank, for which one GPU is enough. Its sums and gathers are what goes in, when they are issued
// and when a captured graph replays them, and it can be left.
func TestOneRank(t *testing.T) {
	if _, problem := NCCL(); problem != "" && !emu.Running() {
		t.Skip(problem)
	}
	id, err := NewUniqueID()
	if err != nil {
		t.Fatal(err)
	}
	const count = 1003
	b := open(t, kernels.Float32)
	err = b.device.do(func() (err error) {
		if b.job, err = b.device.join(Options{Ranks: 1, UniqueID: id}); err != nil {
			return err
		}
		a, release, err := blocks(b.device, 2, 4*count)
		if err != nil {
			return err
		}
		host, err := b.device.allocPinned(8 * count)
		if err != nil {
			return err
		}
		for i, c := range []collective{{t: kernels.F32}, {t: kernels.BF16}, {t: kernels.F32, gather: true}} {
			c.from, c.to, c.count = a[0], a[1], count
			size := count * c.t.Size()
			in, out := host.bytes[:size], host.bytes[4*count:][:size]
			r, err := b.compute.capture(func() error { return b.job.meet(b.compute, &c) })
			if err != nil {
				return err
			}
			for try, run := range []func() error{
				func() error { return b.job.meet(b.compute, &c) },
				func() error { return r.launch(b.compute) },
				func() error { return r.launch(b.compute) },
			} {
				for j := range in {
					in[j] = byte(i + try + j%100) // as float32 and bfloat16 finite numbers
				}
				if err := errors.Join(b.compute.upload(a[0], in), run(), b.compute.download(out, a[1]), b.compute.sync()); err != nil {
					return fmt.Errorf("%+v, try %d: %w", c, try, err)
				}
				if !bytes.Equal(in, out) {
					t.Errorf("%+v, try %d: not what went in", c, try)
				}
			}
			if err := r.destroy(); err != nil {
				return err
			}
		}
		return errors.Join(release(), host.free())
	})
	if err != nil {
		t.Fatal(err)
	}
}
