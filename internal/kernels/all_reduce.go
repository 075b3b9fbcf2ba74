package kernels

import (
	"slices"

	"senet/internal/graph"
)

// allReduce packs its inputs, divided by the number of ranks, into one stretch of memory and sums that. Activations lie one
// after the other (graph.PlanMemory), so they are the stretch. All else, and what travels as bfloat16, goes by way of memory
// of the node's own.
func allReduce(p *Planner, n *graph.Node) (Plan, error) {
	a := n.Attr.(graph.AllReduceAttr)
	weight := 1 / float32(n.Ranks())
	state := func(v *graph.Value) bool { return v.Role != graph.Activation }
	if n.Ranks() == 1 {
		return Plan{Launches: []Launch{p.parcels("all_reduce_copy", ats(n.Out), ats(n.In), n.In, weight, 8)}}, nil
	}
	if !a.Half && !slices.ContainsFunc(n.Out, state) {
		first, last := n.Out[0], n.Out[len(n.Out)-1]
		return Plan{Launches: []Launch{
			p.parcels("all_reduce_copy", ats(n.Out), ats(n.In), n.In, weight, 8),
			{Collective: &Collective{Type: F32, From: at(first), To: at(first), Last: last}},
		}}, nil
	}
	t, pack, unpack := F32, "all_reduce_copy", "all_reduce_copy"
	if a.Half {
		t, pack, unpack = BF16, "all_reduce_narrow", "all_reduce_widen"
	}
	var places []Arg
	var bytes int64
	for _, v := range n.In {
		places = append(places, Arg{Kind: ArgOwn, Offset: bytes, Size: 8})
		bytes += roundUp(int64(v.Shape.Elems() * t.Size()))
	}
	moved := int64(F32.Size() + t.Size())
	return Plan{Own: bytes, Launches: []Launch{
		p.parcels(pack, places, ats(n.In), n.In, weight, moved),
		{Collective: &Collective{Type: t, From: places[0], To: places[0], Count: bytes / int64(t.Size())}},
		p.parcels(unpack, ats(n.Out), places, n.In, 1, moved),
	}}, nil
}

// ats are the addresses of vs.
func ats(vs []*graph.Value) []Arg {
	var args []Arg
	for _, v := range vs {
		args = append(args, at(v))
	}
	return args
}

// parcels is a launch of a kernel of all_reduce.cu that copies tensors of the shapes of vs; moved is the bytes an element.
func (p *Planner) parcels(kernel string, to, from []Arg, vs []*graph.Value, weight float32, moved int64) Launch {
	var parcels []Arg
	var bytes int64
	for i, v := range vs {
		count := int64(v.Shape.Elems())
		parcels = append(parcels, to[i], from[i], i64(count))
		bytes += moved * count
	}
	entries := chunks(vs)
	return Launch{
		Module: "all_reduce", Kernel: kernel, Grid: Dim{X: len(entries)}, Block: Dim{X: chunkThreads},
		Args: []Arg{table(parcels...), table(entries...), f32(weight)}, Bytes: bytes,
	}
}
