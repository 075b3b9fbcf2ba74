package ref_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/ref"
)

// operand is a value of a hand-computed example: an input with its data, or an output with what it must be.
type operand struct {
	shape graph.Shape
	dtype graph.DType
	data  []float64
}

func f(shape graph.Shape, data ...float64) *operand { return &operand{shape, graph.Float32, data} }

var nan = math.NaN()

// examples are worked by hand: they pin what comparing an op with itself or its gradient cannot.
var examples = []struct {
	name    string
	op      graph.Op
	attr    any
	in, out []*operand
}{
	{
		"pixels", graph.Normalize,
		graph.NormalizeAttr{Mean: []float32{0, 0.5}, Std: []float32{1, 0.25}},
		[]*operand{{graph.Shape{1, 1, 2, 2}, graph.Uint8, []float64{0, 255, 51, 0}}}, // (N, H, W, C)
		[]*operand{f(graph.Shape{1, 2, 1, 2}, 0, 0.2, 2, -2)},
	},
	{
		"3x3 of ones with padding", graph.Conv,
		graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1},
		[]*operand{f(graph.Shape{1, 1, 2, 3}, 1, 2, 3, 4, 5, 6), f(graph.Shape{1, 1, 3, 3}, 1, 1, 1, 1, 1, 1, 1, 1, 1), f(graph.Shape{1}, 10), nil, nil},
		[]*operand{f(graph.Shape{1, 1, 2, 3}, 22, 31, 26, 22, 31, 26)},
	},
	{
		"stride 2, not mirrored", graph.Conv,
		graph.ConvAttr{Stride: 2, Pad: 0, Groups: 1},
		[]*operand{f(graph.Shape{1, 1, 3, 5}, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), f(graph.Shape{1, 1, 2, 2}, 1, 10, 100, 1000), nil, nil, nil},
		[]*operand{f(graph.Shape{1, 1, 1, 2}, 7621, 9843)},
	},
	{
		"groups", graph.Conv,
		graph.ConvAttr{Stride: 1, Pad: 0, Groups: 2},
		[]*operand{f(graph.Shape{1, 4, 1, 1}, 1, 2, 3, 4), f(graph.Shape{2, 2, 1, 1}, 1, 10, 1, 10), nil, nil, nil},
		[]*operand{f(graph.Shape{1, 2, 1, 1}, 21, 43)},
	},
	{
		"epilogue", graph.Conv,
		graph.ConvAttr{Stride: 1, Groups: 1, ReLU: true},
		[]*operand{f(graph.Shape{1, 1, 1, 2}, 1, 2), f(graph.Shape{1, 1, 1, 1}, 3), f(graph.Shape{1}, 1), f(graph.Shape{1, 1}, 0.5), f(graph.Shape{1, 1, 1, 2}, 7, -4)},
		[]*operand{f(graph.Shape{1, 1, 1, 2}, 9, 0)}, // 0.5*4 + 7 and relu(0.5*7 - 4)
	},
	{
		"early squeeze", graph.EarlySqueeze,
		graph.EarlySqueezeAttr{Stride: 1, Pad: 1},
		[]*operand{f(graph.Shape{1, 1, 2, 3}, 1, 2, 3, 4, 5, 6), f(graph.Shape{1, 1, 3, 3}, 1, 1, 1, 1, 1, 1, 1, 1, 1), f(graph.Shape{1}, 10)},
		[]*operand{f(graph.Shape{1, 1}, 79.0/3 /* the mean of the first example */)},
	},
	{
		"two images", graph.BatchNorm,
		graph.BatchNormAttr{},
		[]*operand{f(graph.Shape{2, 1, 1, 2}, 1, 3, 5, 7), f(graph.Shape{1}, math.Sqrt(5)), f(graph.Shape{1}, 1), f(graph.Shape{1}, 0), f(graph.Shape{1}, 0)},
		[]*operand{f(graph.Shape{2, 1, 1, 2}, -2, 0, 2, 4), f(graph.Shape{1}, 4), f(graph.Shape{1}, 5)},
	},
	{
		"ceil mode: ties, padding, NaN", graph.MaxPool,
		graph.PoolAttr{Kernel: 2, Stride: 2, Pad: 0, Ceil: true},
		[]*operand{f(graph.Shape{1, 1, 3, 3}, 5, 5, -1, 5, 1, -3, nan, 2, -7)},
		[]*operand{f(graph.Shape{1, 1, 2, 2}, 5, -1, nan, -7), {graph.Shape{1, 1, 2, 2}, graph.Uint8, []float64{0, 0, 0, 0}}},
	},
	{
		"padding never wins", graph.MaxPool,
		graph.PoolAttr{Kernel: 3, Stride: 2, Pad: 1},
		[]*operand{f(graph.Shape{1, 1, 2, 2}, -4, -3, -2, -1)},
		[]*operand{f(graph.Shape{1, 1, 1, 1}, -1), {graph.Shape{1, 1, 1, 1}, graph.Uint8, []float64{8}}},
	},
	{
		"1x1 form of the weight", graph.Linear, nil,
		[]*operand{f(graph.Shape{2, 2}, 1, 2, 3, 4), f(graph.Shape{3, 2, 1, 1}, 1, 0, 0, 1, 1, 1), f(graph.Shape{3}, 0, 10, 0)},
		[]*operand{f(graph.Shape{2, 3}, 1, 12, 3, 3, 14, 7)},
	},
	{
		"smoothing and a row to ignore", graph.SoftmaxCrossEntropy,
		graph.LossAttr{Smoothing: 0.5},
		[]*operand{f(graph.Shape{2, 2}, 0, math.Log(3), 9, 9), {graph.Shape{2}, graph.Int32, []float64{1, -1}}, nil, nil},
		[]*operand{f(graph.Shape{1}, -0.75*math.Log(0.75)-0.25*math.Log(0.25)), f(graph.Shape{2, 2}, 0.25, 0.75, 0.5, 0.5)},
	},
	{
		"mixed labels", graph.SoftmaxCrossEntropy,
		graph.LossAttr{Smoothing: 0.5},
		[]*operand{f(graph.Shape{1, 2}, 0, math.Log(3)), {graph.Shape{1}, graph.Int32, []float64{1}}, {graph.Shape{1}, graph.Int32, []float64{0}}, f(graph.Shape{1}, 0.75)},
		[]*operand{f(graph.Shape{1}, -0.625*math.Log(0.75)-0.375*math.Log(0.25)), f(graph.Shape{1, 2}, 0.25, 0.75)},
	},
	{
		"threshold, sum and a row to ignore", graph.BinaryCrossEntropy,
		graph.BinaryLossAttr{Threshold: 0.2, SumClasses: true},
		[]*operand{
			f(graph.Shape{2, 3}, 0, math.Log(3), 0, 9, 9, 9),
			{graph.Shape{2}, graph.Int32, []float64{1, -1}},
			{graph.Shape{2}, graph.Int32, []float64{0, 0}},
			f(graph.Shape{2}, 0.75, 0.5),
		},
		[]*operand{f(graph.Shape{1}, -2*math.Log(0.5)-math.Log(0.75))},
	},
	{
		"targets as they are, mean over classes", graph.BinaryCrossEntropy,
		graph.BinaryLossAttr{Smoothing: 0.5},
		[]*operand{f(graph.Shape{1, 2}, math.Log(3), -math.Log(3)), {graph.Shape{1}, graph.Int32, []float64{0}}, nil, nil},
		[]*operand{f(graph.Shape{1}, -0.75*math.Log(0.75)-0.25*math.Log(0.25))},
	},
	{
		"ranks", graph.Accuracy, nil, // right; 5th; 6th; tie with a lower index is 2nd; NaN; ignored
		[]*operand{
			f(graph.Shape{6, 6}, 9, 0, 0, 0, 0, 0, 5, 4, 3, 2, 1, 0, 5, 4, 3, 2, 1, 0, 1, 1, 0, 0, 0, 0, nan, 1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6),
			{graph.Shape{6}, graph.Int32, []float64{0, 4, 5, 1, 0, -1}},
		},
		[]*operand{{graph.Shape{3}, graph.Int32, []float64{5, 1, 3}}},
	},
	{
		"fold", graph.FoldBN,
		graph.BatchNormAttr{},
		[]*operand{f(graph.Shape{2, 1, 1, 1}, 3, 5), f(graph.Shape{2}, 2, 4), f(graph.Shape{2}, 1, 0), f(graph.Shape{2}, 10, 1), f(graph.Shape{2}, 4, 16)},
		[]*operand{f(graph.Shape{2, 1, 1, 1}, 3, 5), f(graph.Shape{2}, -9, -1)},
	},
	{
		"loss scale", graph.SoftmaxCrossEntropyGrad,
		graph.LossAttr{},
		[]*operand{f(graph.Shape{2, 2}, 0.25, 0.75, 0.5, 0.5), {graph.Shape{2}, graph.Int32, []float64{1, 0}}, nil, nil, f(graph.Shape{1}, 16)},
		[]*operand{f(graph.Shape{2, 2}, 2, -2, -4, 4)},
	},
	{"norm", graph.GlobalNorm, nil, []*operand{nil, f(graph.Shape{2}, 2, 3), f(graph.Shape{1, 1}, 6)}, []*operand{f(graph.Shape{1}, 7)}},
	{"loss scale", graph.GlobalNorm, nil, []*operand{f(graph.Shape{1}, 4), f(graph.Shape{2}, 2, 3), f(graph.Shape{1, 1}, 6)}, []*operand{f(graph.Shape{1}, 1.75)}},
}

func TestExamples(t *testing.T) {
	for _, c := range examples {
		t.Run(string(c.op)+"/"+c.name, func(t *testing.T) {
			p := &graph.Program{}
			n := &graph.Node{Op: c.op, Name: c.name, Attr: c.attr, In: declare(p, c.in), Out: declare(p, c.out)}
			p.Phases[graph.Step] = []*graph.Node{n}
			exe, err := ref.New().Compile(p)
			if err != nil {
				t.Fatal(err)
			}
			e := exe.(*ref.Executable)
			for i, v := range n.In {
				copy(e.Float64(v), dataOf(c.in[i]))
			}
			if err := exe.Run(graph.Step); err != nil {
				t.Fatal(err)
			}
			for i, v := range n.Out {
				if !slices.EqualFunc(e.Float64(v), c.out[i].data, near) {
					t.Errorf("output %d is %v, want %v", i, e.Float64(v), c.out[i].data)
				}
			}
		})
	}
}

func declare(p *graph.Program, os []*operand) []*graph.Value {
	vs := make([]*graph.Value, len(os))
	for i, o := range os {
		if o != nil {
			vs[i] = &graph.Value{ID: len(p.Values), Shape: o.shape, DType: o.dtype, Role: graph.State}
			p.Values = append(p.Values, vs[i])
		}
	}
	return vs
}

func dataOf(o *operand) []float64 {
	if o == nil {
		return nil
	}
	return o.data
}

// near: the attributes are float32, so a few figures are off by 1e-7.
func near(a, b float64) bool {
	return math.Abs(a-b) <= 1e-6*max(1, math.Abs(b)) || math.IsNaN(a) && math.IsNaN(b)
}

// The update in two steps by hand: running statistics, and SGD with momentum, decay, Nesterov and a loss scale.
func TestUpdate(t *testing.T) {
	p := &graph.Program{}
	vs := declare(p, []*operand{f(graph.Shape{1}), f(graph.Shape{1}), f(graph.Shape{1}), f(graph.Shape{1}), f(graph.Shape{1}), f(graph.Shape{1}), f(graph.Shape{1}), f(graph.Shape{1}), f(graph.Shape{1})})
	mean, variance, runningMean, runningVar, lr, scale, grad, param, momentum := vs[0], vs[1], vs[2], vs[3], vs[4], vs[5], vs[6], vs[7], vs[8]
	p.Phases[graph.Update] = []*graph.Node{
		{Op: graph.RunningStats, Attr: graph.RunningStatsAttr{Momentum: 0.25, Count: 5}, In: []*graph.Value{mean, variance}, Out: []*graph.Value{runningMean, runningVar}},
		{Op: graph.SGD, Attr: graph.SGDAttr{Momentum: 0.5, WeightDecay: 0.25, Nesterov: true, Decay: []bool{true}}, In: []*graph.Value{lr, scale, nil, grad}, Out: []*graph.Value{param, momentum}},
	}
	exe, err := ref.New().Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	e := exe.(*ref.Executable)
	for v, x := range map[*graph.Value]float64{mean: 4, variance: 8, runningVar: 2, lr: 0.5, scale: 8, grad: 24, param: 4} {
		e.Float64(v)[0] = x
	}
	for _, want := range [][4]float64{
		// mean 0 + 1/4 (4 - 0); var 2 + 1/4 (8*5/4 - 2); d = 24/8 + 4/4 = 4, m = 4, step 4 + 4/2 = 6, param 4 - 3
		{1, 4, 1, 4},
		// 1 + 3/4; 4 + 6/4; d = 3.25, m = 2 + 3.25, step 3.25 + 2.625, param 1 - 2.9375
		{1.75, 5.5, -1.9375, 5.25},
	} {
		if err := exe.Run(graph.Update); err != nil {
			t.Fatal(err)
		}
		for i, v := range []*graph.Value{runningMean, runningVar, param, momentum} {
			if got := e.Float64(v)[0]; !near(got, want[i]) {
				t.Errorf("value %d is %g, want %g", i, got, want[i])
			}
		}
	}
}

// What the host may not do, and what the memory report says.
func TestContract(t *testing.T) {
	p := &graph.Program{}
	in := &graph.Value{ID: 0, Name: "in", Shape: graph.Shape{3}, Role: graph.Param}
	middle := &graph.Value{ID: 1, Name: "middle", Shape: graph.Shape{3}}
	out := &graph.Value{ID: 2, Name: "out", Shape: graph.Shape{3}}
	unused := &graph.Value{ID: 3, Name: "unused", Shape: graph.Shape{3}, Role: graph.Param}
	p.Values, p.Logits = []*graph.Value{in, middle, out, unused}, out
	p.Phases[graph.Step] = []*graph.Node{
		{Op: graph.ReLU, In: []*graph.Value{in}, Out: []*graph.Value{middle}},
		{Op: graph.ReLU, In: []*graph.Value{middle}, Out: []*graph.Value{out}},
	}
	b := ref.New()
	exe, err := b.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exe.Read(middle); err == nil {
		t.Error("an activation that is not an output was read")
	}
	if _, err := exe.Read(out); err != nil {
		t.Error(err)
	}
	data := tensor.New(tensor.WithShape(3), tensor.Of(tensor.Float32))
	if err := exe.Write(middle, data); err == nil {
		t.Error("an activation was written")
	}
	if err := exe.Write(unused, data); err == nil {
		t.Error("a value that the program does not touch was written")
	}
	if m := exe.Memory(); m.Arena != 2*64 || m.Persistent != 64 || !slices.Equal(m.Offset, []int64{-1, -1, -1, -1}) {
		t.Errorf("memory %+v, want two activations and one parameter of 64 bytes", m)
	}
	if e := exe.(*ref.Executable); &e.Float64(middle)[0] == &e.Float64(out)[0] {
		t.Error("two values share a buffer")
	}
	p.Phases[graph.Step][0].Op = "no such op"
	if _, err := b.Compile(p); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("compile an unknown op: %v", err)
	}
}
