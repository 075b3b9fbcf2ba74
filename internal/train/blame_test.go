package train

import (
	"errors"
	"math"
	"strings"
	"testing"

	"senet/internal/graph"
)

// startingAt lets the named parameter start with x in all elements of the training program.
func startingAt(name string, x float32) func(call) error {
	return func(c call) error {
		if c.name == "write" && c.value.Name == name && c.value.Role == graph.Param {
			for i := range c.host.Float32s() {
				c.host.Float32s()[i] = x
			}
		}
		return nil
	}
}

// TestDivergenceNamesWhatWentBadFirst: that holds for what the network computes, not for what the backend says of it.
func TestDivergenceNamesWhatWentBadFirst(t *testing.T) {
	for _, c := range []struct {
		name, param string
		x           float32
		want        string
	}{
		{"parameter", "layer2.0.conv1.weight", float32(math.NaN()), `param "layer2.0.conv1.weight" is not finite itself`},
		{"layer", "layer2.0.conv1.weight", 3e38, `the first to go bad is the output of conv "layer2.0.conv1"`},
		{"last layer", "fc.weight", 3e38, `the first to go bad is the output of linear "fc"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newSpy(t)
			b.fault = startingAt(c.param, c.x)
			s, _ := smallRun(t, b, t.TempDir(), "model.zero_init_residual=false")
			s.Train = &stripes{n: 100} // more than ten steps: an evaluation would end the run before
			_, err := Run(t.Context(), s)
			if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want ErrDiverged and %q", err, c.want)
			}
		})
	}
}

func TestDivergenceNamesTheFirstBadGradient(t *testing.T) {
	b := newSpy(t)
	b.Backend = &poisoner{b.Backend, "gradient", math.Inf(-1), steps(1, 12)}
	s, _ := smallRun(t, b, t.TempDir())
	s.Train = &stripes{n: 100}
	_, err := Run(t.Context(), s)
	if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), `on the way back is the gradient of "`+victim+`"`) {
		t.Errorf("error %v, want ErrDiverged and the gradient of %s", err, victim)
	}
}

// TestBlameThatFailsIsStillADivergence: such as on a device without the memory for it.
func TestBlameThatFailsIsStillADivergence(t *testing.T) {
	b, broken, programs := newSpy(t), errors.New("broken"), 0
	bad := spoiler{x: math.NaN(), steps: steps(1, 10)}
	b.alter = bad.alter
	b.fault = func(c call) error {
		if c.name == "compile" {
			if programs++; programs == 3 { // after training and evaluation
				return broken
			}
		}
		return nil
	}
	s, _ := smallRun(t, b, t.TempDir())
	if _, err := Run(t.Context(), s); !errors.Is(err, ErrDiverged) || !errors.Is(err, broken) {
		t.Errorf("error %v, want ErrDiverged and the backend's", err)
	}
}

// TestDivergenceThatDoesNotComeAgainIsToldSo: numbers that are only read wrongly leave no layer to blame.
func TestDivergenceThatDoesNotComeAgainIsToldSo(t *testing.T) {
	b := newSpy(t)
	b.alter = spoiler{x: math.NaN(), steps: steps(1, 10)}.alter
	s, _ := smallRun(t, b, t.TempDir())
	if _, err := Run(t.Context(), s); !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "every single number was finite") {
		t.Errorf("error %v, want ErrDiverged that names no layer", err)
	}
}

// TestParametersThatAreNotFiniteDivergeAtTheEndOfAnEpoch: they are not evaluated, nor is their saving tried.
func TestParametersThatAreNotFiniteDivergeAtTheEndOfAnEpoch(t *testing.T) {
	b := newSpy(t)
	b.fault = startingAt("layer2.0.conv1.weight", float32(math.Inf(1)))
	dir := t.TempDir()
	s, r := smallRun(t, b, dir)
	_, err := Run(t.Context(), s)
	if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), `epoch 1: training diverged: param "layer2.0.conv1.weight" is not finite`) {
		t.Errorf("error %v, want ErrDiverged that names the parameter", err)
	}
	if len(entries(t, dir)) != 0 || len(r.epochs) != 0 {
		t.Errorf("the folder holds %v, events %v", entries(t, dir), r.order)
	}
}
