package cuda

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"senet/internal/cuda/emu"
	"senet/internal/graph"
	"senet/internal/kernels"
	"senet/internal/model"
)

// TestConvolutionsRunOnCuDNN: every convolution that it can run is cuDNN's; it gets the operands of its node, the bias without a
// gate in the type of maps, and equal convolutions share a plan.
func TestConvolutionsRunOnCuDNN(t *testing.T) {
	if !emu.Running() {
		t.Skip("not on the emulator")
	}
	net, err := model.Build("seresnet20_cifar", model.Options{
		Batch: 2, Height: 8, Width: 8, Channels: 1, Mean: []float32{0.5}, Std: []float32{0.25}, Classes: 10, SE: model.SE{Reduction: 16},
	})
	if err != nil {
		t.Fatal(err)
	}
	training, err := graph.Training(net.Graph, net.Ends, graph.TrainingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inference, err := graph.Inference(net.Graph, net.Ends, graph.InferenceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, precision := range []kernels.Precision{kernels.Float32, kernels.BFloat16} {
		t.Run(precision.String()+" training", func(t *testing.T) { onFakeCuDNN(t, precision, training, 0) })
		t.Run(precision.String()+" inference", func(t *testing.T) { onFakeCuDNN(t, precision, inference, 9) })
	}
}

func onFakeCuDNN(t *testing.T, precision kernels.Precision, p *graph.Program, gates int) {
	f := newFakeCuDNN(t)
	b := openOnCuDNN(t, precision, f.path)
	c, err := b.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	exe := c.(*executable)
	f.lines(t) // of trials
	for range 3 {
		if err := errors.Join(exe.Run(graph.Prepare), exe.Run(graph.Step)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := exe.Read(p.Loss); err != nil {
		t.Fatal(err)
	}
	ran := map[string]int{}
	for _, line := range f.lines(t) {
		if strings.HasPrefix(line, "addresses") {
			ran[line]++
		}
	}
	runs, gated, shared := 0, 0, map[*convPlan]bool{}
	for o := range exe.all() {
		c := o.conv
		if is := convolutionOf(o.node, precision) != nil; is != (c != nil) {
			t.Errorf("%s %q: on cuDNN %v, want %v", o.node.Op, o.node.Name, c != nil, is)
		}
		if c == nil {
			continue
		}
		runs++
		shared[c.plan] = true
		if c.gate != nil {
			gated++
		}
		want := addressesOf(exe, o.node, precision)
		found := false
		for line := range ran {
			found = found || strings.Contains(line, want)
		}
		if !found {
			t.Errorf("%s %q: no run with operands %s among %v", o.node.Op, o.node.Name, want, ran)
		}
	}
	if gated != gates {
		t.Errorf("%d convolutions with a gate, want %d", gated, gates)
	}
	if len(shared) >= runs {
		t.Errorf("%d plans for %d convolutions", len(shared), runs)
	}
	if err := errors.Join(exe.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	if left := leftOver(f.lines(t)); left["plan"] > 0 && len(left) > 1 {
		t.Errorf("not freed: %v", left)
	}
}

// addressesOf is how the fake logs the operands of n: those of the node in their order, as integers.
func addressesOf(e *executable, n *graph.Node, precision kernels.Precision) string {
	operands := []*graph.Value{n.In[0], n.In[1], n.Out[0]}
	if n.Op == graph.Conv {
		for _, v := range n.In[2:] { // bias, gate, residual
			if v != nil {
				operands = append(operands, v)
			}
		}
	}
	var at []string
	for _, v := range operands {
		place := e.address[v.ID]
		if e.planner.Copied(v) {
			place = e.copies[v]
		}
		at = append(at, fmt.Sprint(uint64(place)))
	}
	if n.Op == graph.ConvGradWeight && precision.Map() != kernels.F32 {
		at = at[:2] // the gradient goes to the workspace first
	}
	return "1001:" + strings.Join(at, ",")
}
