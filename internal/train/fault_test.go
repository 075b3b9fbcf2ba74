package train

import (
	"errors"
	"strings"
	"testing"

	"senet/internal/graph"
)

// TestBackendErrorsComeBackWithTheirPlace lets every kind of call fail once. newSpy sees that all that was opened is closed.
func TestBackendErrorsComeBackWithTheirPlace(t *testing.T) {
	const step1, step2, epochEnd = 1, 2, 4 // what call.step says before step 2 feeds its count, within it, and after the epoch
	is := func(name string, training bool, step int, more func(call) bool) func(call) bool {
		return func(c call) bool {
			return c.name == name && c.training() == training && c.step == step && (more == nil || more(c))
		}
	}
	value := func(pick func(*graph.Program) *graph.Value) func(call) bool {
		return func(c call) bool { return c.value == pick(c.program) }
	}
	phase := func(ph graph.Phase) func(call) bool { return func(c call) bool { return c.phase == ph } }
	image := value(func(p *graph.Program) *graph.Value { return p.Image })
	labels := value(func(p *graph.Program) *graph.Value { return p.Labels })
	rate := value(func(p *graph.Program) *graph.Value { return p.LearningRate })
	count := value(func(p *graph.Program) *graph.Value { return p.StepCount })
	logits := value(func(p *graph.Program) *graph.Value { return p.Logits })
	loss := value(func(p *graph.Program) *graph.Value { return p.Loss })
	norm := value(func(p *graph.Program) *graph.Value { return p.GradNorm })
	correct := value(func(p *graph.Program) *graph.Value { return p.Correct })
	momentum := value(func(p *graph.Program) *graph.Value { return p.OptimizerStates[3] })
	weight := func(c call) bool { return c.value.Name == "layer2.0.conv1.weight" }

	for _, c := range []struct {
		name, want string // want is what stands before the backend's error
		opened     int
		at         func(call) bool
	}{
		{"compile training", "compile on cpu: ", 0, is("compile", true, 0, nil)},
		{"compile evaluation", "compile on cpu: ", 1, is("compile", false, 0, nil)},
		{"write initial weights", "", 2, is("write", true, 0, weight)},
		{"write images", "epoch 1: step 2: ", 2, is("write", true, step1, image)},
		{"write labels", "epoch 1: step 2: ", 2, is("write", true, step1, labels)},
		{"write learning rate", "epoch 1: step 2: ", 2, is("write", true, step1, rate)},
		{"write step count", "epoch 1: step 2: ", 2, is("write", true, step1, count)},
		{"run step", "epoch 1: step 2: ", 2, is("run", true, step2, phase(graph.Step))},
		{"read loss", "epoch 1: step 2: ", 2, is("read", true, step2, loss)},
		{"read norm", "epoch 1: step 2: ", 2, is("read", true, step2, norm)},
		{"run update", "epoch 1: step 2: ", 2, is("run", true, step2, phase(graph.Update))},
		{"read hits", "epoch 1: step 2: ", 2, is("read", true, step2, correct)},
		{"read weights", `epoch 1: read "layer2.0.conv1.weight": `, 2, is("read", true, epochEnd, weight)},
		{"write weights", "epoch 1: ", 2, is("write", false, epochEnd, weight)},
		{"fold", "epoch 1: ", 2, is("run", false, epochEnd, phase(graph.Prepare))},
		{"evaluation: write images", "epoch 1: evaluate: ", 2, is("write", false, epochEnd, image)},
		{"evaluation: write labels", "epoch 1: evaluate: ", 2, is("write", false, epochEnd, labels)},
		{"evaluation: run step", "epoch 1: evaluate: ", 2, is("run", false, epochEnd, phase(graph.Step))},
		{"evaluation: read logits", "epoch 1: evaluate: ", 2, is("read", false, epochEnd, logits)},
		{"evaluation: read loss", "epoch 1: evaluate: ", 2, is("read", false, epochEnd, loss)},
		{"evaluation: read hits", "epoch 1: evaluate: ", 2, is("read", false, epochEnd, correct)},
		{"read momenta", `epoch 1: read "`, 2, is("read", true, epochEnd, momentum)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, broken, hits := newSpy(t), errors.New("broken"), 0
			b.fault = func(x call) error {
				if !c.at(x) {
					return nil
				}
				hits++
				return broken
			}
			s, r := smallRun(t, b, t.TempDir())
			_, err := Run(t.Context(), s)
			if !errors.Is(err, broken) || errors.Is(err, ErrStopped) || errors.Is(err, ErrDiverged) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %v, want the backend's after %q", err, c.want)
			}
			if c.want == "epoch 1: step 2: " && len(r.steps) != 1 || len(r.epochs)+len(r.summaries) > 0 {
				t.Errorf("events %v: some came after the error", r.order)
			}
			if hits != 1 || b.opened != c.opened || b.closed != c.opened {
				t.Errorf("%d faults, %d executables opened and %d closed, want 1, %d and %d", hits, b.opened, b.closed, c.opened, c.opened)
			}
		})
	}
}

func TestErrorsOfClosingComeBack(t *testing.T) {
	for _, training := range []bool{true, false} {
		b, broken := newSpy(t), errors.New("broken")
		b.fault = func(c call) error {
			if c.name == "close" && c.training() == training {
				return broken
			}
			return nil
		}
		s, r := smallRun(t, b, t.TempDir(), "train.epochs=1")
		if _, err := Run(t.Context(), s); !errors.Is(err, broken) {
			t.Errorf("training program %v: error %v", training, err)
		}
		if b.closed != 2 || len(r.summaries) != 1 {
			t.Errorf("training program %v: %d executables closed, events %v", training, b.closed, r.order)
		}
	}
}
