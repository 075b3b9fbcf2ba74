package kernels

import (
	"testing"

	"senet/internal/graph"
)

// TestAdamMovesWhatItMust: bytes a parameter, with a copy for convolutions where maps are not float32, and LAMB's chunks by tensor.
func TestAdamMovesWhatItMust(t *testing.T) {
	shapes := []graph.Shape{{64, 64, 3, 3}, {chunk}, {7}}
	for _, c := range []struct {
		op            graph.Op
		precision     Precision
		bytes, copied int64 // of every parameter, and of one that has a copy
		launches      int
	}{
		{graph.AdamW, Float32, 28, 0, 2}, {graph.AdamW, BFloat16, 28, 2, 2}, {graph.LAMB, Float32, 40, 0, 4}, {graph.LAMB, Float16, 40, 2, 4},
	} {
		p := &graph.Program{}
		value := func(s graph.Shape) *graph.Value {
			v := &graph.Value{ID: len(p.Values), Shape: s, Role: graph.State}
			p.Values = append(p.Values, v)
			return v
		}
		n := &graph.Node{Op: c.op, Attr: graph.AdamAttr{Decay: []bool{true, false, false}}}
		n.In, n.Out = []*graph.Value{value(graph.Shape{1}), nil, nil}, []*graph.Value{value(graph.Shape{1})}
		var elements int64
		for _, s := range shapes {
			n.In = append(n.In, value(s))
			n.Out = append(n.Out, value(s), value(s), value(s))
			elements += int64(s.Elems())
		}
		x := value(graph.Shape{1, 64, 3, 3})
		p.Phases[graph.Step] = []*graph.Node{{Op: graph.Conv, In: []*graph.Value{x, n.Out[1], nil, nil, nil}}}
		p.Phases[graph.Update] = []*graph.Node{n}
		plan, err := NewPlanner(p, c.precision, Device{Compute: 90, SMs: 132}).Plan(n)
		if err != nil {
			t.Fatal(err)
		}
		var bytes int64
		for _, l := range plan.Launches {
			bytes += l.Bytes
		}
		if want := c.bytes*elements + c.copied*int64(shapes[0].Elems()); bytes != want || len(plan.Launches) != c.launches {
			t.Errorf("%s, %s: %d bytes in %d launches, want %d in %d", c.op, c.precision, bytes, len(plan.Launches), want, c.launches)
		}
		if c.op != graph.LAMB {
			continue
		}
		firsts := plan.Launches[2].Args[3].Table
		for i, want := range []uint64{0, 9, 10, 11} { // 36,864 elements are 9 chunks
			if firsts[i].Bits != want {
				t.Errorf("%s: the chunks of tensor %d begin at %d, want %d", c.op, i, firsts[i].Bits, want)
			}
		}
	}
}
