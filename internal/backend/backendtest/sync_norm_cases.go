package backendtest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/ref"
)

// syncShapes are maps of one rank. No channels are as many as the images of 2 or 3 ranks.
func syncShapes() []graph.Shape {
	return []graph.Shape{{1, 1, 3, 1}, {2, 17, 7, 13}, {1, 5, 13, 7}, {3, 8, 5, 3}, {2, 33, 1, 1}, {1, 130, 5, 4}}
}

// syncCases are batch norms and block tails over the whole batch of all ranks; what a rank has is cut from them.
func syncCases(ranks int) []definition {
	var ds []definition
	for i, s := range syncShapes() {
		whole := slices.Clone(s)
		whole[0] *= ranks
		ds = append(ds, definition{fmt.Sprint("batch norm ", s), func(c *testCase) { batchNorm(c, whole, 0) }},
			definition{fmt.Sprint("means apart ", s), func(c *testCase) {
				batchNorm(c, whole, 30)
				x := c.data[c.p.Values[0]].([]float32)
				for i := range x {
					x[i] += float32(10 * (i * whole[0] / len(x)))
				}
			}})
		for k, shortcut := range []string{"none", "identity", "projection"} {
			for bits := range 4 {
				d := blockTail{y: whole, shortcut: shortcut, relu: bits&1 > 0, two: i%2 == 0, asConv: i%3 == 0, biased: k < 2}
				if bits&2 > 0 {
					d.r = 7
				}
				ds = append(ds, definition{d.String(), d.build})
			}
		}
	}
	d := blockTail{y: graph.Shape{2 * ranks, 8, 7, 5}, r: 7, biased: true, shortcut: "projection", relu: true, unwanted: true}
	return append(ds, definition{d.String(), d.build})
}

// cut is one rank's share of a case over the images of all ranks: values whose first dimension is images are cut, batch norms
// are synchronised. The incoming gradients are ranks times as large, as those of a loss that is the mean over a rank's images.
type cut struct {
	*testCase
	whole               *testCase
	images, ranks, rank int
	of                  map[*graph.Value]*graph.Value // the whole's values
}

func (c *testCase) cut(images, ranks, rank int) *cut {
	s := &cut{newCase("a rank"), c, images, ranks, rank, map[*graph.Value]*graph.Value{nil: nil}}
	s.nan = c.nan
	for _, v := range c.p.Values {
		mine := s.value(v.Name, v.DType, slices.Clone(v.Shape))
		s.of[v], s.maps[mine], s.magnitude[mine] = mine, c.maps[v], c.magnitude[v]
		if s.shared(v) {
			mine.Shape[0] /= ranks
		}
		if data, ok := c.data[v].([]float32); ok {
			s.data[mine] = slices.Clone(stretch(s, v, data))
		}
	}
	for _, l := range c.losses {
		for i := range s.data[s.of[l.weight]].([]float32) {
			s.data[s.of[l.weight]].([]float32)[i] *= float32(ranks)
		}
	}
	for ph, nodes := range c.p.Phases {
		for _, n := range nodes {
			s.node(graph.Phase(ph), n.Op, over(ranks, n.Attr), s.all(n.In), s.all(n.Out))
		}
	}
	return s
}

// roundTimes rounds what is ranks times as large on a rank, so that all sides have the same incoming gradients.
func (c *testCase) roundTimes(ranks int, round func(float32) float32) {
	if round == nil {
		return
	}
	for _, l := range c.losses {
		data, _ := c.data[l.weight].([]float32)
		for i, x := range data {
			data[i] = round(x*float32(ranks)) / float32(ranks)
		}
	}
}

// over is a batch norm's attribute with statistics of as many ranks.
func over(ranks int, attr any) any {
	switch a := attr.(type) {
	case graph.BatchNormAttr:
		a.Sync = ranks
		return a
	case graph.BNSEAddReLUAttr:
		a.Sync = ranks
		return a
	}
	return attr
}

func (s *cut) all(vs []*graph.Value) []*graph.Value {
	var mine []*graph.Value
	for _, v := range vs {
		mine = append(mine, s.of[v])
	}
	return mine
}

// shared reports whether v, of the whole, has a stretch for each rank.
func (s *cut) shared(v *graph.Value) bool { return v.Shape[0] == s.images }

// stretch is the rank's part of the data of v, of the whole.
func stretch[T any](s *cut, v *graph.Value, data []T) []T {
	if !s.shared(v) {
		return data
	}
	n := len(data) / s.ranks
	return data[s.rank*n : (s.rank+1)*n]
}

// syncNorms compares the ranks bs, each with its share of the images, with the oracle on all of them.
func syncNorms(t *testing.T, bs []backend.Backend, o Options) {
	for _, d := range syncCases(len(bs)) {
		t.Run(d.name, func(t *testing.T) {
			for _, arena := range []bool{false, true} {
				c := d.make()
				c.round(o.Round)
				c.roundTimes(len(bs), o.Round)
				images := c.p.Values[0].Shape[0] // of y or x
				report(t, fmt.Sprintf("activations %v: ", arena), c.checkSync(bs, images, arena, o.Round, o.Tolerance))
			}
		})
	}
}

// checkSync runs c on the oracle and its parts on bs. After the forward phase all go on from the oracle's values, see the package.
func (c *testCase) checkSync(bs []backend.Backend, images int, arena bool, round func(float32) float32, tolerance float64) (errs []error) {
	loaded, err := c.load(ref.New(), c.p)
	if err != nil {
		return []error{err}
	}
	oracle := loaded.(*ref.Executable)
	parts, exes := make([]*cut, len(bs)), make([]backend.Executable, len(bs))
	for rank := range bs {
		parts[rank] = c.cut(images, len(bs), rank)
		parts[rank].round(round)
		p := parts[rank].p
		if arena {
			p = parts[rank].throughArena()
		}
		exe, err := parts[rank].load(bs[rank], p)
		if err != nil {
			return append(errs, err)
		}
		defer func() { errs = append(errs, closing(exe)...) }()
		exes[rank] = exe
	}
	for _, ph := range []graph.Phase{forward, gradient} {
		if errs := together(len(bs), func(rank int) error { return exes[rank].Run(ph) }); len(errs) > 0 {
			return errs
		}
		if err := oracle.Run(ph); err != nil {
			return []error{err}
		}
		for _, v := range outputs(c.p.Phases[ph]) {
			if err := compareParts(v, ph, parts, exes, oracle.Float64(v), tolerance); err != nil {
				errs = append(errs, fmt.Errorf("%q: %w", v.Name, err))
			}
			for rank, part := range parts {
				mine := part.of[v]
				if err := exes[rank].Write(mine, host(mine, float32s(stretch(part, v, oracle.Float64(v))))); err != nil {
					return append(errs, err)
				}
			}
		}
	}
	return errs
}

// compareParts compares what the ranks have for v, of the whole, with want. A stretch of a gradient is ranks times as large on its
// rank; a parameter's gradient is the ranks' mean; statistics are the same on each.
func compareParts(v *graph.Value, ph graph.Phase, parts []*cut, exes []backend.Executable, want []float64, tolerance float64) error {
	ranks := len(parts)
	factor, sum := 1.0, make([]float64, len(want))
	if ph == gradient && parts[0].shared(v) {
		factor = float64(ranks)
	}
	b := bound{tolerance: tolerance, magnitude: factor * parts[0].whole.magnitude[v]}
	for _, w := range want {
		b.magnitude = max(b.magnitude, factor*math.Abs(w))
	}
	for rank, part := range parts {
		have, err := read(exes[rank], part.of[v])
		if err != nil {
			return err
		}
		if ph == gradient && !part.shared(v) {
			for i, x := range have {
				sum[i] += x / float64(ranks)
			}
			continue
		}
		mine := slices.Clone(stretch(part, v, want))
		for i := range mine {
			mine[i] *= factor
		}
		if err := difference(part.of[v], have, mine, b); err != nil {
			return fmt.Errorf("rank %d: %w", rank, err)
		}
	}
	if ph == gradient && !parts[0].shared(v) {
		return difference(v, sum, want, b)
	}
	return nil
}
