package graph

import (
	"cmp"
	"slices"
)

// align is the boundary of every buffer in bytes: a cache line, and the width of an AVX-512 register.
const align = 64

// Memory is where a program's activations lie in one arena, and how many bytes everything takes.
type Memory struct {
	Offset     []int64 // by Value.ID, bytes into the arena; -1 for values that are not in it
	Arena      int64   // bytes of all activations, after reuse
	Persistent int64   // bytes of parameters, states, inputs
	Scratch    int64   // bytes the backend needs beside: convolution workspaces, per-thread sums
	Unshared   int64   // what the arena would take without reuse
}

// Peak is the number of bytes a backend allocates for the program.
func (m Memory) Peak() int64 { return m.Arena + m.Persistent + m.Scratch }

// buffer is one stretch of the arena: a value and those that overwrite it in place, or what one AllReduce writes.
type buffer struct {
	values      []*Value
	inner       []int64 // where each value starts in it; nil where all start at 0
	size        int64
	first, last int // positions of the nodes that first write and last touch it
	offset      int64
}

// PlanMemory places the activations of p. size is the number of bytes of a value in the
// backend's layout, 0 for a value the backend never stores. Two values share bytes only when
// no node's run needs both, or when an op may overwrite its dying input (see inPlace). What an AllReduce writes to the arena lies
// one after the other, in the order of its outputs, so that a backend can sum it as a whole, and is left alone from the node on
// until the last of them was read.
// Buffers are placed greedily by size, each at the lowest offset free for its lifetime
// (Pisarchyk and Lee 2020, "Efficient memory management for deep neural net inference").
func PlanMemory(p *Program, size func(*Value) int64) Memory {
	m := Memory{Offset: make([]int64, len(p.Values))}
	for i := range m.Offset {
		m.Offset[i] = -1
	}
	for v := range p.Used() {
		if v.Role != Activation {
			m.Persistent += roundUp(size(v))
		}
	}
	buffers := lifetimes(p, size)
	for _, b := range buffers {
		if b.inner != nil {
			m.Unshared += b.size
		} else {
			m.Unshared += b.size * int64(len(b.values))
		}
	}
	slices.SortStableFunc(buffers, func(a, b *buffer) int { return cmp.Compare(b.size, a.size) })
	var placed []*buffer // by offset
	for _, b := range buffers {
		b.offset = lowestGap(placed, b)
		at, _ := slices.BinarySearchFunc(placed, b, func(x, y *buffer) int { return cmp.Compare(x.offset, y.offset) })
		placed = slices.Insert(placed, at, b)
		m.Arena = max(m.Arena, b.offset+b.size)
		for i, v := range b.values {
			m.Offset[v.ID] = b.offset
			if b.inner != nil {
				m.Offset[v.ID] += b.inner[i]
			}
		}
	}
	return m
}

func roundUp(n int64) int64 { return (n + align - 1) / align * align }

// lowestGap is the lowest offset at which b overlaps no placed buffer alive at the same time.
func lowestGap(placed []*buffer, b *buffer) int64 {
	offset := int64(0)
	for _, o := range placed {
		if o.last < b.first || b.last < o.first {
			continue
		}
		if o.offset-offset >= b.size {
			break
		}
		offset = max(offset, o.offset+o.size)
	}
	return offset
}

// lifetimes lists the arena's buffers; in-place outputs join the buffer of their input.
func lifetimes(p *Program, size func(*Value) int64) []*buffer {
	nodes := p.Nodes()
	lastRead := make([]int, len(p.Values))
	for i, n := range nodes {
		for _, v := range n.In {
			if v != nil {
				lastRead[v.ID] = i
			}
		}
	}
	for _, v := range p.Outputs() {
		lastRead[v.ID] = len(nodes)
	}
	of := make([]*buffer, len(p.Values))
	var buffers []*buffer
	for i, n := range nodes {
		if n.Op == AllReduce {
			if b := together(n, i, lastRead, len(nodes), size); b != nil {
				buffers = append(buffers, b)
			}
			continue
		}
		taken := map[*buffer]bool{}
		for j, v := range n.Out {
			if v == nil || v.Role != Activation || size(v) == 0 {
				continue
			}
			last := max(i, lastRead[v.ID])
			if b := dying(n, j, i, of, taken, roundUp(size(v))); b != nil {
				taken[b] = true
				b.values, b.last = append(b.values, v), last
				of[v.ID] = b
				continue
			}
			b := &buffer{values: []*Value{v}, size: roundUp(size(v)), first: i, last: last}
			of[v.ID] = b
			buffers = append(buffers, b)
		}
	}
	return buffers
}

// together is the buffer of what an AllReduce, the node at position i of end, writes to the arena; nil if that is nothing. Where none of it
// is read, nobody waits for it: it may be written to until the program's end.
func together(n *Node, i int, lastRead []int, end int, size func(*Value) int64) *buffer {
	b := &buffer{first: i, last: i}
	for _, v := range n.Out {
		if v.Role == Activation && size(v) > 0 {
			b.values, b.inner = append(b.values, v), append(b.inner, b.size)
			b.size += roundUp(size(v))
			b.last = max(b.last, lastRead[v.ID])
		}
	}
	if b.values == nil {
		return nil
	}
	if b.last == i {
		b.last = end
	}
	return b
}

// dying returns the buffer of an input that output j of node n (at position i) may overwrite:
// of the same size, read by no later node, and not yet taken by another output.
func dying(n *Node, j, i int, of []*buffer, taken map[*buffer]bool, size int64) *buffer {
	for _, k := range inPlace(n, j) {
		v := n.In[k]
		if v == nil || of[v.ID] == nil {
			continue
		}
		b := of[v.ID]
		if b.last == i && b.size == size && !taken[b] {
			return b
		}
	}
	return nil
}

// inPlace lists the inputs whose bytes output j of n may overwrite, the best first. Backends
// promise to read element i of such an input before they write element i of the output.
func inPlace(n *Node, j int) []int {
	switch n.Op {
	case ReLU, Sigmoid, HardSigmoid, Tanh, Dropout, ReLUGrad, SigmoidGrad, HardSigmoidGrad, TanhGrad, DropoutGrad:
		return []int{0}
	case Add:
		return []int{0, 1}
	case BatchNormGrad, ScaleGrad:
		if j == 0 {
			return []int{0}
		}
	case BNSEAddReLUGrad:
		switch j {
		case TailY: // dy over y, which no later node reads
			return []int{TailGradIn + TailY}
		case TailShortcut: // the masked gradient over the incoming one
			if n.In[TailGradIn+TailShortcut] != nil {
				return []int{TailGradIn + TailShortcut} // of a projection: over its raw output
			}
			return []int{TailGradDOut, TailGradDOut2}
		}
	}
	return nil
}
