package train

import (
	"path/filepath"
	"testing"

	"gorgonia.org/tensor"
)

// rehearse runs s with an evaluation that finds hits[i] images after epoch i+1, and checks that the result, the best
// link and the manifest it leads to agree on the best epoch.
func rehearse(t *testing.T, b *spy, s Setup, hits []int32, wantBest int) {
	t.Helper()
	evaluated := map[int]bool{} // by training step: each evaluation's hits go to its first batch
	b.alter = func(c call, read *tensor.Dense) {
		if c.training() || c.value != c.program.Correct {
			return
		}
		top1 := &read.Data().([]int32)[1]
		*top1 = 0
		if !evaluated[c.step] {
			*top1 = hits[c.step/4-1]
		}
		evaluated[c.step] = true
	}
	result, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if want := 100 * float64(hits[wantBest-1]) / valImages; result.BestEpoch != wantBest || result.Best.Top1 != want {
		t.Errorf("result %+v, want epoch %d with %v %%", result, wantBest, want)
	}
	if want := filepath.Join(s.Config.Output.Dir, "best"); result.Checkpoint != want {
		t.Errorf("checkpoint %s, want %s", result.Checkpoint, want)
	}
	m := loadCheckpoint(t, result.Checkpoint).Manifest
	if m.Epoch != result.BestEpoch || Score(*m.Val) != result.Best || m.Best.Epoch != m.Epoch || !m.IsBest {
		t.Errorf("result %+v, but the best link leads to %+v", result, m)
	}
}

func TestBestIsTheFirstOfTheHighestAccuracy(t *testing.T) {
	b := newSpy(t)
	for _, c := range []struct {
		hits []int32
		best int
	}{{[]int32{5, 8, 7}, 2}, {[]int32{6, 6, 6}, 1}, {[]int32{0, 0, 1}, 3}} {
		s, _ := smallRun(t, b, t.TempDir())
		rehearse(t, b, s, c.hits, c.best)
	}
}

func TestBestSurvivesAResume(t *testing.T) {
	b, dir := newSpy(t), t.TempDir()
	s, _ := smallRun(t, b, dir, "train.epochs=2")
	rehearse(t, b, s, []int32{5, 8}, 2)
	s, _ = smallRun(t, b, dir)
	s.Resume, s.ForceConfig = ResumeAuto, true
	rehearse(t, b, s, []int32{5, 8, 8}, 2)
}

// The best of a run that goes on in a new folder is one of that folder, where the link can lead to it.
func TestResumeIntoAnotherFolderSeeksTheBestAnew(t *testing.T) {
	b, dir := newSpy(t), t.TempDir()
	s, _ := smallRun(t, b, dir)
	rehearse(t, b, s, []int32{5, 8, 7}, 2)
	s, r := smallRun(t, b, t.TempDir())
	s.Resume = filepath.Join(dir, "epoch-0002")
	rehearse(t, b, s, []int32{5, 8, 7}, 3)
	if r.runs[0].StartStep != 8 || len(r.epochs) != 1 || !r.epochs[0].Best {
		t.Errorf("events %v, want the third epoch alone and that it is the best", r.order)
	}
}

func TestResumeFromBeforeTheBestSeeksItAnew(t *testing.T) {
	b, dir := newSpy(t), t.TempDir()
	s, _ := smallRun(t, b, dir, "train.epochs=2")
	rehearse(t, b, s, []int32{5, 8}, 2)
	s, _ = smallRun(t, b, dir, "train.epochs=2")
	s.Resume = filepath.Join(dir, "epoch-0001") // the best link leads to the second epoch
	rehearse(t, b, s, []int32{5, 4}, 2)
	s, _ = smallRun(t, b, dir)
	s.ForceConfig = true
	s.Resume = filepath.Join(dir, "epoch-0002") // of 8 hits; the link leads to the same epoch of 4
	rehearse(t, b, s, []int32{5, 8, 3}, 3)
}
