package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// random is a program of elementwise and fused nodes over values of few sizes, so that reuse and works in place happen often.
func random(r *rand.Rand) *Program {
	p := &Program{}
	value := func(role Role) *Value {
		return p.value(Value{Name: fmt.Sprint("v", len(p.Values)), Shape: Shape{1, 1 << r.IntN(3), 8, 8}, Role: role})
	}
	live := []*Value{value(State)}
	for i := range 5 + r.IntN(40) {
		n := &Node{Name: fmt.Sprint("n", i)}
		switch r.IntN(5) {
		case 0:
			n.Op, n.In = ReLU, []*Value{live[r.IntN(len(live))]}
		case 1:
			n.Op, n.In = Add, []*Value{live[r.IntN(len(live))], live[r.IntN(len(live))]}
		case 2:
			n.Op, n.In = Conv, []*Value{live[r.IntN(len(live))], nil}
		case 3:
			n.Op, n.In = BNSEAddReLUGrad, make([]*Value, tailGradInputs)
			n.In[TailGradDOut], n.In[TailGradIn+TailY] = live[r.IntN(len(live))], live[r.IntN(len(live))]
			n.Out = make([]*Value, tailInputs)
		case 4:
			n.Op = AllReduce
			for range 1 + r.IntN(3) {
				n.In, n.Out = append(n.In, live[r.IntN(len(live))]), append(n.Out, value(Activation))
			}
			live = append(live, n.Out...)
			p.emit(Step, n)
			continue
		}
		out := value(Activation)
		if n.Out == nil {
			n.Out = []*Value{out}
		} else {
			n.Out[TailY], n.Out[TailShortcut] = out, value(Activation)
			live = append(live, n.Out[TailShortcut])
		}
		live = append(live, out)
		p.emit(Step, n)
	}
	p.Logits = live[r.IntN(len(live)-1)+1]
	return p
}

// life is from when a value is first written to when it is last needed.
func life(p *Program, v *Value) (first, last int) {
	first, last = -1, -1
	for i, n := range p.Nodes() {
		for _, o := range n.Out {
			if o == v && first < 0 {
				first, last = i, i
			}
		}
		for _, in := range n.In {
			if in == v {
				last = i
			}
		}
	}
	if v == p.Logits {
		last = len(p.Nodes())
	}
	if first >= 0 && p.Nodes()[first].Op == AllReduce {
		last = max(last, waited(p, first))
	}
	return first, last
}

// waited is the position of the first node that reads what the all_reduce at position at writes, the end if there is none.
func waited(p *Program, at int) int {
	for i, n := range p.Nodes()[at+1:] {
		if slices.ContainsFunc(n.In, func(v *Value) bool { return v != nil && slices.Contains(p.Nodes()[at].Out, v) }) {
			return at + 1 + i
		}
	}
	return len(p.Nodes())
}

// TestPlanMemory: over random programs no two values share a byte while both are needed, or while sums for one of them may still
// travel, unless one node overwrites its input as inPlace allows; every activation has its bytes within the arena; reuse takes no
// more than none; what an all_reduce writes lies one after the other.
func TestPlanMemory(t *testing.T) {
	reused, inPlaces := false, 0
	for seed := range uint64(300) {
		p := random(rand.New(rand.NewPCG(seed, 7)))
		m := PlanMemory(p, (*Value).Bytes)
		reused = reused || m.Arena < m.Unshared
		for _, n := range p.Nodes() {
			for i, v := range n.Out {
				if n.Op == AllReduce && i > 0 && m.Offset[v.ID] != m.Offset[n.Out[i-1].ID]+n.Out[i-1].Bytes() {
					t.Fatalf("seed %d: %q does not lie after %q", seed, v.Name, n.Out[i-1].Name)
				}
			}
		}
		var acts []*Value
		for _, v := range p.Values {
			if v.Role != Activation {
				continue
			}
			if at := m.Offset[v.ID]; at < 0 || at%align != 0 || at+v.Bytes() > m.Arena {
				t.Fatalf("seed %d: %q lies at %d, arena %d", seed, v.Name, at, m.Arena)
			}
			acts = append(acts, v)
		}
		for i, a := range acts {
			for _, b := range acts[i+1:] {
				if m.Offset[a.ID] >= m.Offset[b.ID]+b.Bytes() || m.Offset[b.ID] >= m.Offset[a.ID]+a.Bytes() {
					continue
				}
				_, lastA := life(p, a)
				firstB, lastB := life(p, b)
				firstA, _ := life(p, a)
				switch {
				case lastA < firstB || lastB < firstA:
				case lastA == firstB && overwrites(p.Nodes()[firstB], a, b) && m.Offset[a.ID] == m.Offset[b.ID]:
					inPlaces++
				default:
					t.Fatalf("seed %d: %q [%d, %d] and %q [%d, %d] share bytes", seed, a.Name, firstA, lastA, b.Name, firstB, lastB)
				}
			}
		}
	}
	if !reused || inPlaces < 100 {
		t.Errorf("the programs hardly test reuse: %v, in place %d times", reused, inPlaces)
	}
}

// overwrites reports whether n may write out over in.
func overwrites(n *Node, in, out *Value) bool {
	for j, o := range n.Out {
		for _, k := range inPlace(n, j) {
			if o == out && n.In[k] == in {
				return true
			}
		}
	}
	return false
}

// TestPlanMemoryReuse: a chain of convolutions needs two buffers however long it is.
func TestPlanMemoryReuse(t *testing.T) {
	p := &Program{}
	x := p.value(Value{Name: "x", Shape: Shape{1, 1, 8, 8}, Role: State})
	for i := range 10 {
		y := p.activation(fmt.Sprint("y", i), x.Shape)
		p.emit(Step, &Node{Op: Conv, In: []*Value{x}, Out: []*Value{y}})
		x = y
	}
	if m := PlanMemory(p, (*Value).Bytes); m.Arena != 2*256 || m.Unshared != 10*256 || m.Persistent != 256 {
		t.Errorf("arena %d, unshared %d, persistent %d; want 512, 2560, 256", m.Arena, m.Unshared, m.Persistent)
	}
}
