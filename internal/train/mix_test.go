package train

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"senet/internal/config"
)

// TestMixedTraining: with mixup and CutMix a run trains, and one that was stopped in the middle of an epoch and gone on with
// ends bit by bit where the unbroken one does: what a batch is mixed with depends on its place alone.
func TestMixedTraining(t *testing.T) {
	mixed := []string{"data.augment.mix.mixup_alpha=0.4", "data.augment.mix.cutmix_alpha=1"}
	losses := func(stop bool, sets ...string) (all []float64) {
		h := &history{dir: t.TempDir()}
		if stop {
			s, r := smallRun(t, newSpy(t), h.dir, sets...)
			interrupted(t, h, s, r, afterStep(3))
		}
		s, r := smallRun(t, newSpy(t), h.dir, sets...)
		s.Resume = ResumeAuto
		if _, err := h.attempt(t.Context(), s, r); err != nil {
			t.Fatal(err)
		}
		for _, step := range h.steps {
			if !(step.Loss > 0) || math.IsInf(step.Loss, 0) {
				t.Fatalf("step %d: loss %v", step.GlobalStep, step.Loss)
			}
			all = append(all, step.Loss)
		}
		return all
	}
	whole := losses(false, mixed...)
	if parts := losses(true, mixed...); !slices.Equal(parts, whole) {
		t.Errorf("losses %v, want those of the unbroken run %v", parts, whole)
	}
	if plain := losses(false); plain[0] == whole[0] {
		t.Error("mixing changes nothing")
	}
}

func TestMixingThatMakesNoSense(t *testing.T) {
	var c config.Config
	c.Data.Augment.Mix = config.Mix{MixupAlpha: 1e-9, Probability: 1}
	if _, err := newMixer(c, 8); !errors.Is(err, config.ErrConfig) || !strings.Contains(err.Error(), "data.augment.mix: mixup_alpha") {
		t.Errorf("error %v", err)
	}
}
