package train

import (
	"slices"
	"testing"

	"senet/internal/config"
	"senet/internal/graph"
)

func TestUpdatesGrowToAllTheirBatches(t *testing.T) {
	for _, c := range []struct {
		w    config.BatchWarmup
		want []int
	}{
		{config.BatchWarmup{Epochs: 5, From: 1}, []int{1, 2, 4, 5, 7, 8, 8}}, // of 1, 2.4, 3.8, 5.2, 6.6
		{config.BatchWarmup{Epochs: 2, From: 4}, []int{4, 6, 8, 8}},
		{config.BatchWarmup{Epochs: 3, From: 8}, []int{8, 8, 8, 8}},
		{config.BatchWarmup{Epochs: 0, From: 1}, []int{8, 8}},
	} {
		var have []int
		for epoch := range c.want {
			have = append(have, window(config.Train{Accumulate: 8, BatchWarmup: c.w}, epoch))
		}
		if !slices.Equal(have, c.want) {
			t.Errorf("%+v: %v batches an update, want %v", c.w, have, c.want)
		}
	}
}

// TestRatesOfSmallUpdatesFollowTheSchedule in an epoch of 12 batches each with updates of 1, 2 and 4: the rate is what the schedule
// has at the update's first image, in proportion to its batches; each update runs once all its steps have.
func TestRatesOfSmallUpdatesFollowTheSchedule(t *testing.T) {
	b := newSpy(t)
	var updates []int // by the step after which each came
	b.fault = func(c call) error {
		if c.name == "run" && c.phase == graph.Update {
			updates = append(updates, c.step)
		}
		return nil
	}
	s, r := smallRun(t, b, t.TempDir(), "train.epochs=4", "train.accumulate=4", "train.batch_warmup.epochs=2", "train.warmup_epochs=0")
	s.Train = &stripes{n: 12 * 8}
	unbroken(t, s, r)

	schedule := Schedule{Kind: Cosine, Base: 0.05, Min: 0.001, Steps: 12} // 3 updates of 4 batches an epoch
	var want []int
	for epoch, k := range []int{1, 3, 4, 4} {
		for first := 0; first < 12; first += k {
			want = append(want, 12*epoch+first+k)
			rate := schedule.At(3*epoch+first/4) * float64(k) / 4
			for step := first; step < first+k; step++ {
				if have := r.steps[12*epoch+step].LR; have != rate {
					t.Errorf("epoch %d step %d: rate %v, want %v", epoch+1, step+1, have, rate)
				}
			}
		}
	}
	if !slices.Equal(updates, want) {
		t.Errorf("updates after the steps %v, want %v", updates, want)
	}
}

// TestSmallUpdatesAreThoseOfSmallBatches: an update of 1 batch out of 4 at a rate of 1 is, to the bit, one at a rate of a quarter without
// accumulation.
func TestSmallUpdatesAreThoseOfSmallBatches(t *testing.T) {
	b := newSpy(t)
	constant := []string{"train.epochs=2", "train.schedule=step", "train.step_epochs=1000", "train.warmup_epochs=0"}
	dir, _ := finished(t, b, append(constant, "train.lr=0.2", "train.accumulate=4", "train.batch_warmup.epochs=1000")...)
	plain, _ := finished(t, b, append(constant, "train.lr=0.05")...)
	diffTensors(t, "model", loadCheckpoint(t, dir, "last").Model, loadCheckpoint(t, plain, "last").Model)
}
