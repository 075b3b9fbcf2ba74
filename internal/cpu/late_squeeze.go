package cpu

// #include "kernels.h"
import "C"

import (
	"unsafe"

	"senet/internal/graph"
)

// lateSqueezes are the SE blocks of inference whose squeeze is taken from the output of the block's convolution, since an early
// squeeze would read the convolution's weight a second time.
type lateSqueezes struct {
	excitation map[*graph.Node]*graph.Node // of a convolution, which runs it between its products and the gate
	done       map[*graph.Node]bool        // early squeezes and excitations that have nothing left to do
}

// findLateSqueezes takes the convolutions whose weight (K, C/groups, R, S) is larger than their output (N, K, P, Q). SE-ResNet-50 has
// them at batch 1: 1 MB against 0.8 in its third stage and 4 MB against 0.4 in its last.
func findLateSqueezes(p *graph.Program) lateSqueezes {
	from, readers := map[*graph.Value]*graph.Node{}, map[*graph.Value]int{}
	for _, n := range p.Nodes() {
		for _, v := range n.Out {
			from[v] = n
		}
		for _, v := range n.In {
			readers[v]++
		}
	}
	only := func(v *graph.Value, op graph.Op) *graph.Node { // what writes v, if it is an op and has one reader
		if n := from[v]; v != nil && n != nil && n.Op == op && readers[v] == 1 {
			return n
		}
		return nil
	}
	late := lateSqueezes{map[*graph.Node]*graph.Node{}, map[*graph.Node]bool{}}
	for _, n := range p.Nodes() {
		if n.Op != graph.Conv || n.In[1].Shape.Elems() <= n.Out[0].Shape.Elems() {
			continue
		}
		excitation := only(n.In[3], graph.Excitation)
		if excitation == nil {
			continue
		}
		squeeze := only(excitation.In[0], graph.EarlySqueeze)
		if squeeze != nil && squeeze.In[0] == n.In[0] && squeeze.In[1] == n.In[1] && squeeze.In[2] == n.In[2] {
			late.excitation[n], late.done[squeeze], late.done[excitation] = excitation, true, true
		}
	}
	return late
}

// nothing is the op of a node that another node's op runs.
func nothing(*compiler, *graph.Node) (*op, error) {
	return kernel(0, func(*binding) func() { return func() {} }), nil
}

// addSqueeze appends z = mean of y and gate = excitation(z) to a convolution without gate. z lies in the workspace: its own place in
// the arena is free for others by then.
func (o *op) addSqueeze(n, excitation *graph.Node) {
	y, gate, convolve := n.Out[0], n.In[3], o.bind
	in, hidden := excitation.In, excitation.In[1].Shape[0]
	z := roundUp(gate.Bytes())
	o.scratch = max(o.scratch, z+max(sumsScratch(y), int64(gate.Shape[0]*hidden)*4))
	o.bind = func(m *binding) func() error {
		run := convolve(m)
		free := unsafe.Add(m.scratch, z)
		mean := channelArgs(m, y)
		mean.x, mean.out, mean.scratch = m.f32(y), (*C.float)(m.scratch), free
		a := &C.senet_excitation_args{
			n: C.int(gate.Shape[0]), c: C.int(gate.Shape[1]), r: C.int(hidden), z: mean.out, w1: m.f32(in[1]), b1: m.f32(in[2]),
			w2: m.f32(in[3]), b2: m.f32(in[4]), out: m.f32(gate), scratch: free,
		}
		return func() error {
			if err := run(); err != nil {
				return err
			}
			C.senet_global_avg_pool(mean)
			C.senet_excitation(a)
			return nil
		}
	}
}
