package cpu

// #include "kernels.h"
// #include "onednn.h"
import "C"

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"senet/internal/backend"
	"senet/internal/graph"
)

// ranks is how many processes the backend computes together with.
func (b *Backend) ranks() int {
	if b.collective == nil {
		return 1
	}
	return b.collective.Ranks()
}

// sum starts to replace x by its sum over all ranks.
func (b *Backend) sum(x []float32) (wait func() error) {
	if b.ranks() == 1 {
		return func() error { return nil }
	}
	arrived := b.collective.Sum(x)
	return func() error {
		if err := arrived(); err != nil {
			return fmt.Errorf("%w: %w", backend.ErrRankLost, err)
		}
		return nil
	}
}

// allReduce packs its operands, divided by the number of ranks, into one stretch of memory and sums that. What it writes to the
// arena lies one after the other there and is the stretch: its sum travels on while other nodes run. All other outputs, such as
// states in place, come by way of the workspace, which the next node needs: it waits at once.
func allReduce(c *compiler, node *graph.Node) (*op, error) {
	if attr := node.Attr.(graph.AllReduceAttr); attr.Half {
		return nil, fmt.Errorf("ranks send float32 alone: %w", backend.ErrUnsupported)
	}
	var packed int64 // bytes
	for i, v := range node.In {
		if node.Out[i] != v {
			c.alike(v, node.Out[i])
		}
		packed += c.floats(v) * 4
	}
	o := &op{own: 2 * int64(len(node.In)) * C.sizeof_senet_follower}
	if travels(node) {
		o.bind = func(m *binding) func() error {
			pack := packing(m, m.own, 1/float32(node.Ranks()), m.addresses(node.Out), m.addresses(node.In), node.In)
			last := node.Out[len(node.Out)-1]
			from, to := m.at(node.Out[0]), unsafe.Add(m.at(last), m.e.floats(last)*4)
			stretch := unsafe.Slice((*float32)(from), (uintptr(to)-uintptr(from))/4)
			return func() error {
				pack()
				o.wait = m.e.b.sum(stretch)
				return nil
			}
		}
		return o, nil
	}
	o.scratch = packed
	o.bind = func(m *binding) func() error {
		at, next := make([]unsafe.Pointer, len(node.In)), m.scratch
		for i, v := range node.In {
			at[i], next = next, unsafe.Add(next, m.e.floats(v)*4)
		}
		pack := packing(m, m.own, 1/float32(node.Ranks()), at, m.addresses(node.In), node.In)
		unpack := packing(m, unsafe.Add(m.own, len(node.In)*C.sizeof_senet_follower), 1, m.addresses(node.Out), at, node.In)
		stretch := unsafe.Slice((*float32)(m.scratch), packed/4)
		return func() error {
			pack()
			if err := m.e.b.sum(stretch)(); err != nil {
				return err
			}
			unpack()
			return nil
		}
	}
	return o, nil
}

// travels reports whether the sums of an all_reduce go on after its run.
func travels(n *graph.Node) bool {
	return n.Op == graph.AllReduce && !slices.ContainsFunc(n.Out, func(v *graph.Value) bool { return v.Role != graph.Activation })
}

// packing copies each value, times weight, from one address to another. own is memory for the list.
func packing(m *binding, own unsafe.Pointer, weight float32, to, from []unsafe.Pointer, values []*graph.Value) func() {
	list := make([]C.senet_follower, len(values))
	for i, v := range values {
		list[i] = C.senet_follower{to: (*C.float)(to[i]), from: (*C.float)(from[i]), count: C.int64_t(m.e.floats(v))}
	}
	a := &C.senet_all_reduce_args{tensors: C.int(len(list)), weight: C.float(weight), followers: put(own, list)}
	return func() { C.senet_all_reduce(a) }
}

// finish waits for an op's sums, if they are on their way.
func (o *op) finish() error {
	if o.wait == nil {
		return nil
	}
	wait := o.wait
	o.wait = nil
	return wait()
}

// Fingerprint tells what the ranks sum and how it lies in memory: oneDNN lays weights as the processor likes them.
func (e *executable) Fingerprint() string {
	var text strings.Builder
	for _, n := range e.p.Nodes() {
		if n.Op != graph.AllReduce {
			continue
		}
		for _, v := range n.In {
			text.WriteString(fmt.Sprintf("%q %q %v %v %d ", n.Name, v.Name, v.Shape, e.isMap(v), e.floats(v)))
			if w := e.weights[v]; w != nil {
				text.WriteString(C.GoString(C.senet_layout_describe(w.layout)))
			}
		}
	}
	digest := sha256.Sum256([]byte(text.String()))
	return fmt.Sprintf("%x", digest[:8])
}
