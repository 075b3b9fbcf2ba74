package train

import (
	"slices"
	"testing"

	"senet/internal/data"
	"senet/internal/graph"
)

// fed is what a training step was given.
type fed struct {
	images []uint8
	labels []int32
	rate   float32
	count  int32
}

func TestStepsAreFedWhatTheConfigSays(t *testing.T) {
	b := newSpy(t)
	var have []fed
	var next fed
	drawn := 0 // parameters
	b.fault = func(c call) error {
		if !c.training() {
			return nil
		}
		switch {
		case c.name == "run" && c.phase == graph.Step:
			have = append(have, next)
			next = fed{rate: -1, count: -1}
		case c.name != "write":
		case c.value.Role == graph.Param:
			if drawn++; !slices.Equal(c.host.Float32s(), c.value.Fill(7)) {
				t.Errorf("%q does not start as seed 7 draws it", c.value.Name)
			}
		case c.value == c.program.Image:
			next.images = slices.Clone(c.host.Data().([]uint8))
		case c.value == c.program.Labels:
			next.labels = slices.Clone(c.host.Data().([]int32))
		case c.value == c.program.LearningRate:
			next.rate = c.host.Data().([]float32)[0]
		case c.value == c.program.StepCount:
			next.count = c.host.Data().([]int32)[0]
		}
		return nil
	}
	s, _ := smallRun(t, b, t.TempDir())
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	loader, err := data.NewLoader(s.Train, data.LoaderOptions{BatchSize: 8, Workers: 1, Seed: 7, Train: true, Augment: data.Augment{Pad: 1, Flip: true}})
	if err != nil {
		t.Fatal(err)
	}
	schedule := Schedule{Base: 0.05, Min: 0.001, WarmupSteps: 2, Steps: 12}
	if len(have) != 12 || drawn == 0 {
		t.Fatalf("%d steps after %d parameters were drawn, want 12", len(have), drawn)
	}
	for epoch := range 3 {
		it := loader.Epoch(t.Context(), epoch, 0)
		defer it.Close()
		for batch := range 4 {
			want, err := it.Next()
			if err != nil {
				t.Fatal(err)
			}
			step := 4*epoch + batch
			x := have[step]
			if !slices.Equal(x.images, want.Images.Data().([]uint8)) || !slices.Equal(x.labels, want.Labels.Data().([]int32)) {
				t.Errorf("step %d: images or labels are not those of epoch %d, batch %d", step+1, epoch+1, batch+1)
			}
			if x.rate != float32(schedule.At(step)) || x.count != int32(step) {
				t.Errorf("step %d: rate %v and count %d, want %v and %d", step+1, x.rate, x.count, schedule.At(step), step)
			}
			it.Recycle(want)
		}
	}
}

func TestProgramsAreCompiledAsTheConfigSays(t *testing.T) {
	b := newSpy(t)
	var sgd []graph.SGDAttr
	var smoothing []float32
	var batches []int
	b.fault = func(c call) error {
		if c.name != "compile" {
			return nil
		}
		batches = append(batches, c.program.Image.Shape[0])
		for _, n := range c.program.Nodes() {
			switch a := n.Attr.(type) {
			case graph.SGDAttr:
				sgd = append(sgd, a)
			case graph.LossAttr:
				if n.Op == graph.SoftmaxCrossEntropy {
					smoothing = append(smoothing, a.Smoothing)
				}
			}
		}
		return nil
	}
	s, _ := smallRun(t, b, t.TempDir(), "train.epochs=1", "train.momentum=0.8", "train.weight_decay=0.003", "train.nesterov=true", "eval.batch_size=6")
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if len(sgd) != 1 || sgd[0].Momentum != 0.8 || sgd[0].WeightDecay != 0.003 || !sgd[0].Nesterov {
		t.Errorf("optimiser %+v, want momentum 0.8, decay 0.003, Nesterov", sgd)
	}
	if !slices.Equal(smoothing, []float32{0.1, 0}) || !slices.Equal(batches, []int{8, 6}) {
		t.Errorf("label smoothing %v and batches of %v in training and evaluation", smoothing, batches)
	}
}
