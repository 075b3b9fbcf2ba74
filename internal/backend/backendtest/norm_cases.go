package backendtest

import (
	"fmt"
	"math"

	"senet/internal/graph"
	"senet/internal/ref"
)

const eps = 1e-5 // of every normalisation

// single is the magnitude of the terms that cancel in a channel with one value, forward and
// backward: its variance is 0, so they measure 1/sqrt(eps) times a few standard deviations.
const single = 1e3

func batchNormCases() []definition {
	var ds []definition
	for _, s := range featureMaps() {
		ds = append(ds, definition{s.String(), func(c *testCase) { batchNorm(c, s, 0) }})
	}
	return append(ds, definition{"large mean", func(c *testCase) { batchNorm(c, graph.Shape{3, 17, 7, 13}, 30) }})
}

func batchNorm(c *testCase, s graph.Shape, mean float64) {
	channels := s[1]
	x := c.asMap(c.normal("x", mean, 1, s...))
	in := []*graph.Value{
		x, c.normal("gamma", 1, 0.3, channels), c.normal("beta", 0, 0.3, channels),
		c.normal("running mean", 50, 1, channels), c.normal("running var", 50, 1, channels), // not to be read
	}
	y, batchMean, variance := c.mapOut("y", s...), c.out("mean", channels), c.out("var", channels)
	dy := c.mapIn("dy", s...)
	dx, dgamma, dbeta := c.mapOut("dx", s...), c.out("dgamma", channels), c.out("dbeta", channels)
	a := graph.BatchNormAttr{Eps: eps, Momentum: 0.1}
	c.node(forward, graph.BatchNorm, a, in, []*graph.Value{y, batchMean, variance})
	c.node(gradient, graph.BatchNormGrad, a, []*graph.Value{dy, x, in[1], batchMean, variance}, []*graph.Value{dx, dgamma, dbeta})
	c.magnitude[batchMean] = 1
	if s[0]*s[2]*s[3] == 1 {
		c.magnitude[y], c.magnitude[dx], c.magnitude[dgamma] = single, single, single
	}
	c.loss(y, dy)
	c.derivatives(in[:3], []*graph.Value{dx, dgamma, dbeta})
}

// blockTail is one variant of the fused block tail on y (N, C, H, W).
type blockTail struct {
	y        graph.Shape
	r        int    // hidden units, 0: no SE
	biased   bool   // biases in the SE block
	asConv   bool   // SE weights as 1x1 convolutions
	shortcut string // "none", "identity", "projection"
	relu     bool
	two      bool    // dout comes as two addends
	mean     float64 // of y
	unwanted bool    // the shortcut's gradient is not wanted
}

func (d blockTail) String() string {
	return fmt.Sprintf("%v,r=%d,bias=%v,1x1=%v,shortcut=%s,relu=%v,two=%v,mean=%g,unwanted=%v", d.y, d.r, d.biased, d.asConv, d.shortcut, d.relu, d.two, d.mean, d.unwanted)
}

// tailCases: every variant on every map, with R, biases and the weights' form varied along.
func tailCases() []definition {
	var ds []definition
	add := func(d blockTail) { ds = append(ds, definition{d.String(), d.build}) }
	for i, s := range featureMaps() {
		for _, shortcut := range []string{"none", "identity", "projection"} {
			for bits := range 8 {
				d := blockTail{y: s, shortcut: shortcut, relu: bits&1 > 0, two: bits&2 > 0}
				if bits&4 > 0 {
					d.r = []int{1, 4, 8}[i%3]
					d.biased, d.asConv = i%2 == 0, i%4 < 2
				}
				add(d)
			}
		}
	}
	for _, shortcut := range []string{"none", "identity", "projection"} {
		add(blockTail{y: graph.Shape{3, 17, 7, 13}, r: 4, biased: true, shortcut: shortcut, relu: true, mean: 30})
	}
	add(blockTail{y: graph.Shape{3, 8, 7, 5}, r: 4, biased: true, shortcut: "identity", relu: true, unwanted: true})
	add(blockTail{y: graph.Shape{3, 8, 7, 5}, r: 4, biased: true, shortcut: "projection", relu: true, unwanted: true})
	for i, shortcut := range []string{"none", "identity", "projection"} { // more than one tile of the products
		add(blockTail{y: graph.Shape{37, 136, 2, 3}, r: 72, biased: i > 0, shortcut: shortcut, relu: true, two: i == 1})
	}
	return append(ds, definition{"nan", func(c *testCase) {
		d := blockTail{y: graph.Shape{3, 8, 7, 5}, r: 4, biased: true, shortcut: "identity", relu: true}
		in := d.inputs(c)
		c.poison(in[graph.TailY])
		c.node(forward, graph.BNSEAddReLU, d.attr(), in, d.outputs(c))
	}})
}

func (d blockTail) attr() graph.BNSEAddReLUAttr {
	return graph.BNSEAddReLUAttr{Eps: eps, ShortcutEps: 2 * eps, ReLU: d.relu}
}

func (d blockTail) inputs(c *testCase) []*graph.Value {
	channels := d.y[1]
	in := make([]*graph.Value, graph.TailShortcutBeta+1)
	in[graph.TailY] = c.asMap(c.normal("y", d.mean, 1, d.y...))
	in[graph.TailGamma], in[graph.TailBeta] = c.normal("gamma", 1, 0.3, channels), c.normal("beta", 0, 0.3, channels)
	if d.r > 0 {
		copy(in[graph.TailW1:], excitationWeights(c, channels, d.r, d.biased, d.asConv))
	}
	if d.shortcut != "none" {
		in[graph.TailShortcut] = c.asMap(c.normal("shortcut", 0.2, 1, d.y...))
	}
	if d.shortcut == "projection" {
		in[graph.TailShortcutGamma], in[graph.TailShortcutBeta] = c.normal("shortcut gamma", 1, 0.3, channels), c.normal("shortcut beta", 0, 0.3, channels)
	}
	return in
}

func (d blockTail) outputs(c *testCase) []*graph.Value {
	n, channels := d.y[0], d.y[1]
	out := make([]*graph.Value, graph.TailShortcutVar+1)
	out[graph.TailOut] = c.mapOut("out", d.y...)
	out[graph.TailMean], out[graph.TailVar] = c.out("mean", channels), c.out("var", channels)
	if d.r > 0 {
		out[graph.TailImageMean], out[graph.TailGate] = c.out("image mean", n, channels), c.out("gate", n, channels)
		out[graph.TailHidden] = c.out("hidden", n, d.r)
		c.magnitude[out[graph.TailImageMean]], c.magnitude[out[graph.TailHidden]] = 1, 1
	}
	if d.shortcut == "projection" {
		out[graph.TailShortcutMean], out[graph.TailShortcutVar] = c.out("shortcut mean", channels), c.out("shortcut var", channels)
		c.magnitude[out[graph.TailShortcutMean]] = 1
	}
	c.magnitude[out[graph.TailMean]] = 1
	return out
}

func (d blockTail) build(c *testCase) {
	in, out := d.inputs(c), d.outputs(c)
	before := c.beforeReLU(in, out, d.attr())
	c.node(forward, graph.BNSEAddReLU, d.attr(), in, out)

	gradIn := make([]*graph.Value, graph.TailGradSaved+graph.TailShortcutVar+1)
	gradIn[graph.TailGradDOut] = c.away(c.mapIn("dout", d.y...), before)
	c.loss(out[graph.TailOut], gradIn[graph.TailGradDOut])
	if d.two {
		gradIn[graph.TailGradDOut2] = c.away(c.mapIn("dout2", d.y...), before)
		c.loss(out[graph.TailOut], gradIn[graph.TailGradDOut2])
	}
	copy(gradIn[graph.TailGradIn:], in)
	copy(gradIn[graph.TailGradSaved+graph.TailMean:], out[graph.TailMean:])
	if d.shortcut == "identity" {
		gradIn[graph.TailGradIn+graph.TailShortcut] = nil
	}
	if d.shortcut != "none" && d.relu {
		gradIn[graph.TailGradOut] = out[graph.TailOut]
	}
	grads := make([]*graph.Value, len(in))
	for i, v := range in {
		if v != nil {
			grads[i] = c.out("d "+v.Name, v.Shape...)
			c.maps[grads[i]] = c.maps[v]
		}
	}
	if d.unwanted {
		grads[graph.TailShortcut] = nil
	}
	if d.y[0]*d.y[2]*d.y[3] == 1 {
		c.magnitude[out[graph.TailOut]] = single
		for _, g := range grads {
			c.magnitude[g] = single
		}
	}
	c.node(gradient, graph.BNSEAddReLUGrad, d.attr(), gradIn, grads)
	c.derivatives(in, grads)
}

// beforeReLU is what goes into the tail's last ReLU.
func (c *testCase) beforeReLU(in, out []*graph.Value, a graph.BNSEAddReLUAttr) []float64 {
	a.ReLU = false
	p := &graph.Program{Values: c.p.Values}
	p.Phases[forward] = []*graph.Node{{Op: graph.BNSEAddReLU, Attr: a, In: in, Out: out}}
	exe, err := ref.New().Compile(p)
	if err != nil {
		return nil
	}
	for _, v := range in {
		if v != nil {
			if err := exe.Write(v, host(v, c.data[v])); err != nil {
				return nil
			}
		}
	}
	if err := exe.Run(forward); err != nil {
		return nil
	}
	return exe.(*ref.Executable).Float64(out[graph.TailOut])
}

// away clears a gradient where the ReLU's input is so near its kink that rounding may put
// it on the other side, in a backend or in a finite difference.
func (c *testCase) away(dout *graph.Value, before []float64) *graph.Value {
	x := c.data[dout].([]float32)
	for i, v := range before {
		if math.Abs(v) < 1e-3 {
			x[i] = 0
		}
	}
	return dout
}
