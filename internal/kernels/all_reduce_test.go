package kernels

import (
	"testing"

	"senet/internal/graph"
)

// TestAllReduceGoesTheShortestWay: results in the arena are summed where they lie; states, and what travels in half the bits, are
// packed into memory of the node's own and unpacked after; one rank alone only copies.
func TestAllReduceGoesTheShortestWay(t *testing.T) {
	for _, c := range []struct {
		role    graph.Role
		a       graph.AllReduceAttr
		kernels []string // "" for the collective
		own     int64
		count   int64
	}{
		{graph.Activation, graph.AllReduceAttr{Ranks: 2}, []string{"all_reduce_copy", ""}, 0, 0},
		{graph.State, graph.AllReduceAttr{Ranks: 2}, []string{"all_reduce_copy", "", "all_reduce_copy"}, 128 + 40064, (128 + 40064) / 4},
		{graph.Activation, graph.AllReduceAttr{Ranks: 2, Half: true}, []string{"all_reduce_narrow", "", "all_reduce_widen"}, 128 + 20096, (128 + 20096) / 2},
		{graph.State, graph.AllReduceAttr{Ranks: 1}, []string{"all_reduce_copy"}, 0, 0},
	} {
		small, large := &graph.Value{Shape: graph.Shape{3}, Role: c.role}, &graph.Value{Shape: graph.Shape{10, 10, 10, 10}, Role: c.role}
		n := &graph.Node{Op: graph.AllReduce, Attr: c.a, In: []*graph.Value{small, large}, Out: []*graph.Value{small, large}}
		p := NewPlanner(&graph.Program{Phases: [graph.PhaseCount][]*graph.Node{graph.Step: {n}}}, BFloat16, Device{Compute: 90, SMs: 132})
		plan, err := p.Plan(n)
		if err != nil {
			t.Fatal(err)
		}
		if p.Type(large) != F32 || plan.Own != c.own || plan.Scratch != 0 || len(plan.Launches) != len(c.kernels) {
			t.Fatalf("%v, %+v: %s, %+v", c.role, c.a, p.Type(large), plan)
		}
		for i, l := range plan.Launches {
			weight := float32(1)
			if i == 0 {
				weight = 1 / float32(c.a.Ranks)
			}
			switch {
			case l.Kernel != c.kernels[i] || (l.Collective == nil) != (l.Kernel != ""):
				t.Errorf("%v, %+v: launch %d is %q", c.role, c.a, i, l.Kernel)
			case l.Collective == nil:
				if l.Grid.X != 1+3 || l.Args[2].Bits != f32(weight).Bits {
					t.Errorf("%v, %+v: launch %d has %d blocks and weight %v", c.role, c.a, i, l.Grid.X, l.Args[2])
				}
			case l.Collective.Count != c.count || (l.Collective.Last == large) != (c.own == 0) || l.Collective.Gather:
				t.Errorf("%v, %+v: collective %+v", c.role, c.a, l.Collective)
			}
		}
	}
}
