package train

import (
	"math"
	"testing"

	"senet/internal/data"
	"senet/internal/model"
	"senet/internal/ref"
)

// TestEpochsReportTheGatesOfTheFirstBatch: as the oracle computes them from the epoch's checkpoint.
func TestEpochsReportTheGatesOfTheFirstBatch(t *testing.T) {
	dir := t.TempDir()
	s, r := smallRun(t, openCPU(t, 1), dir, "train.epochs=2")
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	net, err := model.Build(s.Config.Model.Name, ModelOptions(s.Config, s.Config.Eval.BatchSize))
	if err != nil {
		t.Fatal(err)
	}
	oracle, err := NewEvaluator(ref.New(), net)
	if err != nil {
		t.Fatal(err)
	}
	if err := oracle.Load(loadCheckpoint(t, dir, "last").Model); err != nil {
		t.Fatal(err)
	}
	loader, err := data.NewLoader(s.Val, data.LoaderOptions{BatchSize: s.Config.Eval.BatchSize, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	it := loader.Epoch(t.Context(), 0, 0)
	defer it.Close()
	b, err := it.Next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oracle.Logits(b); err != nil {
		t.Fatal(err)
	}
	want, err := oracle.Gates(b.Size)
	if err != nil {
		t.Fatal(err)
	}
	have := r.epochs[1].Gates
	if len(have) != 3 || len(want) != 3 {
		t.Fatalf("have gates of %d stages, the oracle of %d, want 3", len(have), len(want))
	}
	for i, w := range want {
		h := have[i]
		if n := b.Size * (16 << i); h.Stage != i+1 || len(h.Values) != n || len(w.Values) != n {
			t.Fatalf("stage %d: %d values, want %d of stage %d", h.Stage, len(h.Values), n, i+1)
		}
		for j, x := range w.Values {
			if !(math.Abs(float64(h.Values[j]-x)) < 1e-4) {
				t.Fatalf("stage %d: gate %d is %v, want %v", h.Stage, j, h.Values[j], x)
			}
		}
		if first := r.epochs[0].Gates[i]; !(first.Mean > 0 && first.Mean < 1) || first.Mean == h.Mean {
			t.Errorf("stage %d: mean %v after the first epoch, %v after the second", h.Stage, first.Mean, h.Mean)
		}
	}
}

// TestGatesOfAPartOfABatch: what stands in the rows behind the images is no gate of an image.
func TestGatesOfAPartOfABatch(t *testing.T) {
	s, _ := smallRun(t, openCPU(t, 1), t.TempDir())
	net, err := model.Build(s.Config.Model.Name, ModelOptions(s.Config, 8))
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(s.Backend, net)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close() //nolint:errcheck // nothing was written
	gates, err := e.Gates(3)
	if err != nil || len(gates[2].Values) != 3*64 {
		t.Errorf("have %d values (error %v), want those of 3 images", len(gates[2].Values), err)
	}
}
