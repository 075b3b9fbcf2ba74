package cpu

import (
	"fmt"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
)

// tailCase is one variant of the fused tail.
type tailCase struct {
	dim
	r                            int // 0: no SE
	biases, relu, shortcut, proj bool
	two                          bool    // dout in two addends
	mean                         float64 // of y, against a deviation of 1
	unwanted                     bool    // only some gradients
}

func (c tailCase) String() string {
	return fmt.Sprintf("%dx%dx%dx%d,r=%d,bias=%v,relu=%v,shortcut=%v,projection=%v,two=%v,mean=%g,unwanted=%v", c.n, c.c, c.h, c.w, c.r, c.biases, c.relu, c.shortcut, c.proj, c.two, c.mean, c.unwanted)
}

func tailCases() []tailCase {
	var cs []tailCase
	for i, d := range mapDims {
		for bits := range 32 {
			c := tailCase{dim: d, relu: bits&1 > 0, shortcut: bits&2 > 0, proj: bits&6 == 6, two: bits&8 > 0, biases: i%2 == 0}
			if bits&16 > 0 {
				c.r = []int{1, 8, 4, 3, 16, 20}[i%6]
			}
			if bits&6 != 4 && d.n*d.hw() > 1 { // projection without shortcut is none; one value has no variance
				cs = append(cs, c)
			}
		}
	}
	large := tailCase{dim: dim{3, 16, 9, 9}, r: 4, relu: true, shortcut: true, biases: true, mean: 300}
	few := tailCase{dim: dim{3, 16, 9, 9}, r: 4, relu: true, shortcut: true, proj: true, unwanted: true}
	return append(cs, large, few)
}

func (c tailCase) oracle(f *fixture) *tailOracle {
	n := c.elems()
	t := &tailOracle{dim: c.dim, r: c.r, relu: c.relu, projection: c.proj, eps: 1e-5}
	t.y, t.gamma, t.beta = f.normal(n, c.mean, 1), f.normal(c.c, 1, 0.3), f.normal(c.c, 0, 0.3)
	if c.shortcut {
		t.x = f.normal(n, 0.2, 1)
	}
	if c.proj {
		t.xgamma, t.xbeta = f.normal(c.c, 1, 0.3), f.normal(c.c, 0, 0.3)
	}
	if c.r > 0 {
		t.w1, t.w2 = f.normal(c.r*c.c, 0, 0.5), f.normal(c.c*c.r, 0, 0.5)
		if c.biases {
			t.b1, t.b2 = f.normal(c.r, 0.3, 0.3), f.normal(c.c, 0, 0.3)
		}
	}
	t.forward()
	return t
}

// forwardNode declares the fused tail over o's inputs.
func forwardNode(f *fixture, o *tailOracle) *graph.Node {
	c := o.c
	in := []*graph.Value{
		f.value(o.y, o.shape()...), f.value(o.gamma, c), f.value(o.beta, c),
		f.value(o.w1, o.r, c), f.value(o.b1, o.r), f.value(o.w2, c, o.r), f.value(o.b2, c),
		f.value(o.x, o.shape()...), f.value(o.xgamma, c), f.value(o.xbeta, c),
	}
	out := []*graph.Value{f.out(o.shape()...), f.out(c), f.out(c), nil, nil, nil, nil, nil}
	if o.w1 != nil {
		out[3], out[4], out[5] = f.out(o.n, c), f.out(o.n, o.r), f.out(o.n, c)
	}
	if o.projection {
		out[6], out[7] = f.out(c), f.out(c)
	}
	f.node(graph.BNSEAddReLU, graph.BNSEAddReLUAttr{Eps: 1e-5, ShortcutEps: 1e-5, ReLU: o.relu}, in, out)
	return f.p.Phases[graph.Step][0]
}

func TestTailForward(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		for _, c := range tailCases() {
			t.Run(c.String(), func(t *testing.T) {
				f := newFixture()
				o := c.oracle(f)
				n := forwardNode(f, o)
				read := f.run(t, b)
				tolerance := 1e-5
				if c.mean != 0 { // y itself is rounded to 2^-24 of its mean
					tolerance = 1e-4
				}
				for i, want := range [][]float64{o.out, o.mean, o.variance, o.image, o.hidden, o.gate, o.xmean, o.xvar} {
					if want != nil {
						near(t, fmt.Sprintf("output %d", i), read(n.Out[i]), want, tolerance)
					}
				}
			})
		}
	})
}

// gradNode declares the gradient of the tail; what the forward saves comes from running forward in the same program.
func gradNode(f *fixture, o *tailOracle, fwd *graph.Node, dout, dout2 []float64, unwanted bool) *graph.Node {
	n := tailGradNode(f.p, fwd)
	n.In[graph.TailGradDOut] = f.value(dout, o.shape()...)
	if dout2 != nil {
		n.In[graph.TailGradDOut2] = f.value(dout2, o.shape()...)
	}
	if fwd.In[graph.TailShortcut] == nil || !o.relu {
		n.In[graph.TailGradOut] = nil
	}
	if unwanted {
		for _, i := range []int{graph.TailY, graph.TailGamma, graph.TailW2, graph.TailB1, graph.TailShortcutBeta} {
			n.Out[i] = nil
		}
	}
	f.p.Phases[graph.Step] = append(f.p.Phases[graph.Step], n)
	return n
}

func TestTailGrad(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		for _, c := range tailCases() {
			t.Run(c.String(), func(t *testing.T) {
				f := newFixture()
				o := c.oracle(f)
				dout, total := f.normal(c.elems(), 0.1, 1), make([]float64, c.elems())
				copy(total, dout)
				var dout2 []float64
				if c.two {
					dout2 = f.normal(c.elems(), 0, 1)
					for i, d := range dout2 {
						total[i] = float64(float32(dout[i]) + float32(d))
					}
				}
				o.maskable(total, dout, dout2)
				o.backward(total)
				n := gradNode(f, o, forwardNode(f, o), dout, dout2, c.unwanted)
				read := f.run(t, b)
				if o.b1 == nil {
					o.db1, o.db2 = nil, nil
				}
				if !c.shortcut {
					o.dx = nil
				}
				names := []string{"dy", "dgamma", "dbeta", "dw1", "db1", "dw2", "db2", "dshortcut", "dshortcut gamma", "dshortcut beta"}
				for i, want := range [][]float64{o.dy, o.dgamma, o.dbeta, o.dw1, o.db1, o.dw2, o.db2, o.dx, o.dxg, o.dxb} {
					if want != nil && n.Out[i] != nil {
						near(t, names[i], read(n.Out[i]), want, 1e-4)
					}
				}
			})
		}
	})
}
