package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
)

// operand is a persistent value of a one-node program: activations could be neither written nor read.
func operand(p *graph.Program, shape ...int) *graph.Value {
	v := &graph.Value{ID: len(p.Values), Shape: shape, Role: graph.State}
	v.Name = fmt.Sprintf("operand %d", v.ID)
	p.Values = append(p.Values, v)
	return v
}

// tailProgram is one fused tail, or its gradient, over maps (n, c, h, w) with r hidden units (0: no SE) and an identity shortcut.
func tailProgram(n, c, h, w, r int, grad bool) *graph.Program {
	p := &graph.Program{}
	node := &graph.Node{Op: graph.BNSEAddReLU, Name: "tail", Attr: graph.BNSEAddReLUAttr{Eps: 1e-5, ReLU: true}}
	node.In, node.Out = make([]*graph.Value, graph.TailShortcutBeta+1), make([]*graph.Value, graph.TailShortcutVar+1)
	in, out := node.In, node.Out
	in[graph.TailY], in[graph.TailGamma], in[graph.TailBeta] = operand(p, n, c, h, w), operand(p, c), operand(p, c)
	in[graph.TailShortcut], out[graph.TailOut] = operand(p, n, c, h, w), operand(p, n, c, h, w)
	out[graph.TailMean], out[graph.TailVar] = operand(p, c), operand(p, c)
	if r > 0 {
		in[graph.TailW1], in[graph.TailB1] = operand(p, r, c), operand(p, r)
		in[graph.TailW2], in[graph.TailB2] = operand(p, c, r), operand(p, c)
		out[graph.TailImageMean], out[graph.TailHidden], out[graph.TailGate] = operand(p, n, c), operand(p, n, r), operand(p, n, c)
	}
	if grad {
		node = tailGradNode(p, node)
	}
	p.Phases[graph.Step] = []*graph.Node{node}
	return p
}

// tailGradNode is the gradient of the forward tail f, with every output wanted.
func tailGradNode(p *graph.Program, f *graph.Node) *graph.Node {
	g := &graph.Node{Op: graph.BNSEAddReLUGrad, Name: "tail grad", Attr: f.Attr}
	g.In = make([]*graph.Value, graph.TailGradSaved+graph.TailShortcutVar+1)
	g.In[graph.TailGradDOut] = operand(p, f.Out[graph.TailOut].Shape...)
	g.In[graph.TailGradOut] = f.Out[graph.TailOut]
	copy(g.In[graph.TailGradIn:], f.In)
	copy(g.In[graph.TailGradSaved+graph.TailMean:], f.Out[graph.TailMean:])
	g.Out = make([]*graph.Value, len(f.In))
	for i, v := range f.In {
		if v != nil {
			g.Out[i] = operand(p, v.Shape...)
		}
	}
	if f.In[graph.TailShortcutGamma] == nil {
		g.In[graph.TailGradIn+graph.TailShortcut] = nil
	}
	return g
}

// single is a program of one node.
func single(op graph.Op, attr any, build func(p *graph.Program) (in, out []*graph.Value)) *graph.Program {
	p := &graph.Program{}
	in, out := build(p)
	p.Phases[graph.Step] = []*graph.Node{{Op: op, Name: string(op), Attr: attr, In: in, Out: out}}
	return p
}

// randomise fills every operand: uniform in [0.5, 1.5), so that variances and divisors are well away from 0.
func randomise(tb testing.TB, exe backend.Executable, p *graph.Program) {
	tb.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	for _, v := range p.Persistent() {
		data := make([]float32, v.Shape.Elems())
		for i := range data {
			data[i] = 0.5 + r.Float32()
		}
		if err := exe.Write(v, tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(data))); err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkKernel gives the GB/s of our own loops on the block shapes of ResNet-50 and SE-ResNet-20, counting
// the bytes that an op must move: one read of each map for a reduction, one more for the pass that writes.
func BenchmarkKernel(b *testing.B) {
	for _, s := range []struct{ n, c, hw, r int }{
		{16, 256, 56, 16},
		{16, 512, 28, 32},
		{16, 1024, 14, 64},
		{16, 2048, 7, 128},
		{128, 16, 28, 8},
		{128, 32, 14, 8},
		{128, 64, 7, 8},
		{1, 256, 56, 16},
	} {
		maps := func(n int) int64 { return int64(n) * int64(s.n*s.c*s.hw*s.hw) * 4 }
		m := func(p *graph.Program) *graph.Value { return operand(p, s.n, s.c, s.hw, s.hw) }
		vec := func(p *graph.Program) *graph.Value { return operand(p, s.n, s.c) }
		for _, k := range []struct {
			name  string
			bytes int64
			p     *graph.Program
		}{
			{"tail", maps(4), tailProgram(s.n, s.c, s.hw, s.hw, 0, false)},
			{"tail_se", maps(4), tailProgram(s.n, s.c, s.hw, s.hw, s.r, false)},
			{"tail_grad", maps(7), tailProgram(s.n, s.c, s.hw, s.hw, 0, true)},
			{"tail_grad_se", maps(7), tailProgram(s.n, s.c, s.hw, s.hw, s.r, true)},
			{"add", maps(3), single(graph.Add, nil, func(p *graph.Program) (in, out []*graph.Value) {
				return []*graph.Value{m(p), m(p)}, []*graph.Value{m(p)}
			})},
			{"global_avg_pool", maps(1), single(graph.GlobalAvgPool, nil, func(p *graph.Program) (in, out []*graph.Value) {
				return []*graph.Value{m(p)}, []*graph.Value{vec(p)}
			})},
			{"scale_grad", maps(3), single(graph.ScaleGrad, nil, func(p *graph.Program) (in, out []*graph.Value) {
				return []*graph.Value{m(p), m(p), vec(p)}, []*graph.Value{m(p), vec(p)}
			})},
			{"early_squeeze_1x1", maps(1), single(graph.EarlySqueeze, graph.EarlySqueezeAttr{Stride: 1}, func(p *graph.Program) (in, out []*graph.Value) {
				return []*graph.Value{m(p), operand(p, 64, s.c, 1, 1), operand(p, 64)}, []*graph.Value{operand(p, s.n, 64)}
			})},
			{"early_squeeze_3x3", maps(1), single(graph.EarlySqueeze, graph.EarlySqueezeAttr{Stride: 1, Pad: 1}, func(p *graph.Program) (in, out []*graph.Value) {
				return []*graph.Value{m(p), operand(p, 64, s.c, 3, 3), operand(p, 64)}, []*graph.Value{operand(p, s.n, 64)}
			})},
		} {
			b.Run(fmt.Sprintf("%s/%dx%dx%dx%d", k.name, s.n, s.hw, s.hw, s.c), func(b *testing.B) { benchmarkProgram(b, k.p, k.bytes) })
		}
	}
}

func benchmarkProgram(b *testing.B, p *graph.Program, bytes int64) {
	be, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer be.Close()
	exe, err := be.Compile(p)
	if err != nil {
		b.Fatal(err)
	}
	defer exe.Close()
	randomise(b, exe, p)
	for b.Loop() {
		if err := exe.Run(graph.Step); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(bytes)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
}
