package graph

import (
	"strings"
	"testing"
)

// TestBuildErrors: whatever does not fit is refused while the graph is built, naming the layer and the shapes.
func TestBuildErrors(t *testing.T) {
	image := func(g *Graph, s Shape) *Value { return g.Input("image", s, Uint8) }
	x := func(g *Graph) *Value {
		return g.Normalize("normalize", image(g, Shape{2, 8, 8, 3}), []float32{0, 0, 0}, []float32{1, 1, 1})
	}
	for _, c := range []struct {
		name, want string
		build      func(g *Graph)
	}{
		{"means", "3 channels need as many means", func(g *Graph) {
			g.Normalize("n", image(g, Shape{2, 8, 8, 3}), []float32{0}, []float32{1})
		}},
		{"pixels", "n: want pixels", func(g *Graph) {
			g.Normalize("n", g.Input("image", Shape{2, 8, 8, 3}, Float32), nil, nil)
		}},
		{"channels", "stem: weight (4, 2, 3, 3) with 1 groups does not fit input (2, 3, 8, 8)", func(g *Graph) {
			g.Conv("stem", x(g), g.Param("w", Shape{4, 2, 3, 3}, Zeros()), nil, ConvAttr{Stride: 1, Groups: 1})
		}},
		{"groups", "with 2 groups does not fit", func(g *Graph) {
			g.Conv("stem", x(g), g.Param("w", Shape{4, 2, 3, 3}, Zeros()), nil, ConvAttr{Stride: 1, Groups: 2})
		}},
		{"window", "window (4, 3, 9, 9), stride 1, pad 0 does not fit", func(g *Graph) {
			g.Conv("stem", x(g), g.Param("w", Shape{4, 3, 9, 9}, Zeros()), nil, ConvAttr{Stride: 1, Groups: 1})
		}},
		{"stride", "stride 0", func(g *Graph) {
			g.Conv("stem", x(g), g.Param("w", Shape{4, 3, 3, 3}, Zeros()), nil, ConvAttr{Groups: 1})
		}},
		{"bias", "bias (3), want (4)", func(g *Graph) {
			g.Conv("stem", x(g), g.Param("w", Shape{4, 3, 3, 3}, Zeros()), g.Param("b", Shape{3}, Zeros()), ConvAttr{Stride: 1, Groups: 1})
		}},
		{"batch norm", `bn: "beta" is (4), want (3)`, func(g *Graph) {
			three, four := Shape{3}, Shape{4}
			g.BatchNorm("bn", x(g), g.Param("gamma", three, Ones()), g.Param("beta", four, Zeros()), g.State("mean", three, Zeros()), g.State("var", three, Ones()), BatchNormAttr{})
		}},
		{"add", "residual branch (2, 3, 8, 8) and shortcut (2, 3, 3, 3) differ", func(g *Graph) {
			v := x(g)
			g.Add("add", v, g.MaxPool("pool", v, PoolAttr{Kernel: 3, Stride: 2}))
		}},
		{"scale", "gate (2, 8) does not fit", func(g *Graph) {
			v := x(g)
			g.Scale("scale", v, g.Linear("fc", g.GlobalAvgPool("squeeze", v), g.Param("w", Shape{8, 3}, Zeros()), nil))
		}},
		{"linear", "weight (8, 4) does not fit input (2, 3)", func(g *Graph) {
			g.Linear("fc", g.GlobalAvgPool("squeeze", x(g)), g.Param("w", Shape{8, 4}, Zeros()), nil)
		}},
		{"rank", "want a feature map", func(g *Graph) {
			g.GlobalAvgPool("again", g.GlobalAvgPool("squeeze", x(g)))
		}},
		{"pool", "pool: window 3, stride 2, pad 3", func(g *Graph) {
			g.MaxPool("pool", x(g), PoolAttr{Kernel: 3, Stride: 2, Pad: 3})
		}},
		{"labels", "need labels (N) int32", func(g *Graph) {
			g.SoftmaxCrossEntropy("loss", g.GlobalAvgPool("squeeze", x(g)), Targets{Labels: g.Input("labels", Shape{3}, Int32)}, LossAttr{})
		}},
		{"twice", `param "w" is declared twice`, func(g *Graph) {
			g.Param("w", Shape{1}, Zeros())
			g.Param("w", Shape{1}, Zeros())
		}},
		{"empty", "has a dimension below 1", func(g *Graph) { g.Param("w", Shape{3, 0}, Zeros()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := New()
			c.build(g)
			if g.Err() == nil || !strings.Contains(g.Err().Error(), c.want) {
				t.Errorf("error %v, want one with %q", g.Err(), c.want)
			}
			if _, err := Training(g, Ends{}, TrainingOptions{}); err == nil {
				t.Error("a broken graph was made a program")
			}
		})
	}
}

// TestWindow compares the output length with PyTorch's (torch.nn.MaxPool2d, floor and ceil mode).
func TestWindow(t *testing.T) {
	for _, c := range []struct {
		n, kernel, stride, pad int
		ceil                   bool
		want                   int
	}{
		{224, 7, 2, 3, false, 112},
		{112, 3, 2, 1, false, 56},
		{112, 3, 2, 0, true, 56},
		{112, 3, 2, 0, false, 55},
		{5, 3, 2, 1, false, 3},
		{6, 3, 2, 1, true, 4},
		{7, 2, 2, 0, true, 4},
		{4, 1, 3, 0, true, 2},
		{2, 3, 1, 0, false, 0},
		{4, 2, 5, 1, true, 1},
		{1, 1, 1, 0, false, 1},
		{3, 1, 4, 0, true, 1},
	} {
		if got := window(c.n, c.kernel, c.stride, c.pad, c.ceil); got != c.want {
			t.Errorf("window(%+v) = %d", c, got)
		}
	}
}

// TestFill: a start depends on the seed and the name alone, and has the deviation that its kind promises.
func TestFill(t *testing.T) {
	shape := Shape{64, 32, 3, 3}
	draw := func(name string, seed uint64, init Init) []float32 {
		return (&Value{Name: name, Shape: shape, Init: init}).Fill(seed)
	}
	a, again, other, seeded := draw("a", 1, Kaiming()), draw("a", 1, Kaiming()), draw("b", 1, Kaiming()), draw("a", 2, Kaiming())
	same := func(x, y []float32) int {
		n := 0
		for i := range y {
			if x[i] == y[i] {
				n++
			}
		}
		return n
	}
	if same(a, again) != len(a) || same(a, other) > len(a)/100 || same(a, seeded) > len(a)/100 {
		t.Error("the draw does not depend on seed and name alone")
	}
	moments := func(x []float32) (mean, variance float64) {
		for _, v := range x {
			mean += float64(v) / float64(len(x))
			variance += float64(v) * float64(v) / float64(len(x))
		}
		return mean, variance - mean*mean
	}
	if mean, v := moments(a); !(mean*mean < 1e-5) || !(v > 0.98*2/576 && v < 1.02*2/576) {
		t.Errorf("kaiming: mean %g, variance %g, want 0 and 2/576", mean, v)
	}
	if mean, v := moments(draw("a", 1, Uniform(0.3))); !(mean*mean < 1e-4) || !(v > 0.98*0.03 && v < 1.02*0.03) {
		t.Errorf("uniform: mean %g, variance %g, want 0 and 0.03", mean, v)
	}
	if x := draw("a", 1, Ones()); same(x, x[1:]) < len(x)-1 || x[0] != 1 {
		t.Error("ones are not all 1")
	}
}
