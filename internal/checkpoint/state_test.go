package checkpoint

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gorgonia.org/tensor"
)

// dense is a tensor whose elements depend on seed.
func dense(seed int, shape ...int) *tensor.Dense {
	values := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range values {
		values[i] = float32(seed*31+i*7-5) / 3
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
}

// stateAt is the state of an imaginary run at a step: three epochs of a batch each, then one cut
// short, and so on.
func stateAt(step int) State {
	s := State{
		Manifest: Manifest{
			Created: time.Date(2024, 5, 6, 7, 8, 9, 1000*step, time.UTC),
			Model:   "seresnet20", Config: "model:\n  name: seresnet20 # <&>\n", Classes: []string{"T-shirt/top", "Ankle boot"}, Seed: 1<<64 - 1,
			Epoch: step, GlobalStep: step, BadSteps: 2, BadInARow: 1, Device: "cpu: x",
			Sums:      Sums{Images: 640, Top1: 301, Top5: 600, Loss: 0.1 * float64(step)},
			Val:       &Score{Images: 10000, Loss: 1.0 / 3, Top1: 90.12, Top5: 99.9},
			Best:      &Best{Epoch: 1, Score: Score{Images: 10000, Loss: 0.3, Top1: 91, Top5: 99.8}},
			LossScale: &LossScale{Factor: 65536, GoodSteps: 17},
			Libraries: map[string]string{"oneDNN": "3.2.0"},
		},
		Model: map[string]*tensor.Dense{
			"conv1.weight": dense(step, 4, 1, 3, 3), "bn1.weight": dense(step+1, 4), "bn1.running_mean": dense(step+2, 4), "fc.weight": dense(step+3, 2, 4),
		},
		Optimizer: map[string]*tensor.Dense{"conv1.weight.momentum": dense(step+4, 4, 1, 3, 3), "fc.weight.momentum": dense(step+5, 2, 4)},
	}
	if step%4 == 3 {
		s.Manifest.Batch, s.Manifest.Val = 1, nil
	}
	return s
}

// differs says how a loaded state is not the saved one, "" if it is.
func differs(got, want State) string {
	for _, f := range []struct {
		name      string
		got, want map[string]*tensor.Dense
	}{{"model", got.Model, want.Model}, {"optimizer", got.Optimizer, want.Optimizer}} {
		if !slices.Equal(slices.Sorted(maps.Keys(f.got)), slices.Sorted(maps.Keys(f.want))) {
			return f.name + " has other tensors"
		}
		for name, w := range f.want {
			if g := f.got[name]; !g.Shape().Eq(w.Shape()) || !slices.Equal(g.Float32s(), w.Float32s()) {
				return f.name + " " + name
			}
		}
	}
	g, w := got.Manifest, want.Manifest
	g.Format, g.Serial, g.IsBest, g.Files = w.Format, w.Serial, w.IsBest, w.Files // set by Save
	if !reflect.DeepEqual(g, w) {
		return "manifest"
	}
	return ""
}

func mustOpen(t *testing.T, fsys fileSystem, dir string, keep Keep) *Store {
	t.Helper()
	s, err := open(fsys, dir, keep)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSave(t *testing.T, s *Store, step int, as SaveAs) string {
	t.Helper()
	path, err := s.Save(stateAt(step), as)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// writeFile puts a file where something else may stand.
func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// names lists a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// strangers are the names in a run's folder that are no checkpoint or link.
func strangers(t *testing.T, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(names(t, dir), func(name string) bool {
		return name == lastLink || name == bestLink || checkpointName.MatchString(name)
	})
}

func readlink(t *testing.T, path ...string) string {
	t.Helper()
	target, err := os.Readlink(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// mention fails unless err says all of parts.
func mention(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}
