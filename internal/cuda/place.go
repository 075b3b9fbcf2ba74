package cuda

import (
	"encoding/binary"
	"errors"
	"fmt"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/kernels"
)

// line is the alignment of every buffer in bytes: a memory transaction of the device.
const line = 128

func roundUp(n int64) int64 { return (n + line - 1) / line * line }

// region hands out parts of the block. Addresses are relative until base is known.
type region struct{ next int64 }

func (r *region) take(bytes int64) int64 {
	at := r.next
	r.next += roundUp(bytes)
	return at
}

// place plans the memory and allocates it as one block: persistent values with the weights' copies and the inputs'
// second buffers, all of them zero, the arena of activations, constant tables, the workspace that nodes share, then what nodes
// have of their own, which hold anything. It then binds the launches.
func (e *executable) place() error {
	e.memory = graph.PlanMemory(e.p, e.planner.Bytes)
	used := e.p.Used()
	var r region
	offset := make([]int64, len(e.p.Values))
	copies := map[*graph.Value]int64{}
	for _, v := range e.p.Values {
		if v.Role == graph.Activation || !used[v] {
			continue
		}
		offset[v.ID] = r.take(e.planner.Bytes(v))
		if e.planner.Copied(v) {
			copies[v] = r.take(int64(v.Shape.Elems()) * int64(e.planner.Precision.Map().Size()))
		}
	}
	inputs := map[*graph.Value]int64{}
	for _, v := range e.p.Inputs() {
		inputs[v] = r.take(e.planner.Bytes(v))
	}
	e.memory.Persistent = r.next
	arena := r.take(e.memory.Arena)
	e.memory.Arena = r.next - arena
	tables := r.take(e.tableBytes())
	scratch := r.take(e.scratchBytes())
	own := r.take(e.ownBytes())
	e.memory.Scratch = r.next - tables
	if err := e.allocate(r.next); err != nil {
		return err
	}
	if err := e.b.device.clear(e.block, e.memory.Persistent); err != nil {
		return err
	}
	e.address = make([]address, len(e.p.Values))
	for _, v := range e.p.Values {
		switch {
		case v.Role != graph.Activation && used[v]:
			e.address[v.ID] = e.block + address(offset[v.ID])
		case e.memory.Offset[v.ID] >= 0:
			e.address[v.ID] = e.block + address(arena+e.memory.Offset[v.ID])
		}
	}
	for v, at := range copies {
		e.copies[v] = e.block + address(at)
	}
	for _, v := range e.p.Inputs() {
		if err := e.addInput(v, e.block+address(inputs[v])); err != nil {
			return err
		}
	}
	return e.bind(e.block+address(tables), e.block+address(scratch), e.block+address(own))
}

// allocate takes the block, and the host memory through which values come and go.
func (e *executable) allocate(bytes int64) (err error) {
	if e.block, err = e.b.device.alloc(bytes); err != nil {
		var full *OutOfMemory
		if errors.As(err, &full) {
			o := backend.NewOutOfMemory(e.p, e.memory, e.planner.Bytes)
			o.Asked, o.Free, o.Total, o.Err = full.Asked, full.Free, full.Total, err
			err = o
		}
		return fmt.Errorf("memory of the program: %w", err)
	}
	e.bounce, err = e.b.device.allocPinned(bounceBytes)
	return err
}

func (e *executable) scratchBytes() int64 {
	var most int64
	for o := range e.all() {
		most = max(most, o.plan.Scratch)
	}
	return most
}

// ownBytes is what the nodes of a phase have of their own, of the phase with the most.
func (e *executable) ownBytes() int64 {
	var most int64
	for _, ops := range e.ops {
		var sum int64
		for _, o := range ops {
			sum += roundUp(o.plan.Own)
		}
		most = max(most, sum)
	}
	return most
}

func (e *executable) tableBytes() int64 {
	var sum int64
	for o := range e.all() {
		for _, l := range o.plan.Launches {
			for _, a := range l.Args {
				sum += roundUp(8 * int64(len(a.Table)))
			}
		}
	}
	return sum
}

// binder resolves arguments; tables are written at next, one behind the other.
type binder struct {
	e             *executable
	next, scratch address
	own           address // of the node
}

// bind finds every kernel and resolves its arguments.
func (e *executable) bind(tables, scratch, own address) error {
	b := &binder{e: e, next: tables, scratch: scratch}
	for _, ops := range e.ops {
		b.own = own
		for _, o := range ops {
			if err := b.op(o); err != nil {
				return fmt.Errorf("%s %q: %w", o.node.Op, o.node.Name, err)
			}
			b.own += address(roundUp(o.plan.Own))
		}
	}
	return nil
}

func (b *binder) op(o *op) (err error) {
	if o.conv != nil {
		if err := o.conv.bind(b.e, b.scratch); err != nil {
			return err
		}
	}
	if travels(o.node) {
		if o.done, err = b.e.b.device.newEvent(false); err != nil {
			return err
		}
	}
	for _, l := range o.plan.Launches {
		bound, err := b.launch(l)
		if err != nil {
			return err
		}
		o.launches = append(o.launches, bound)
	}
	return nil
}

func (b *binder) launch(l kernels.Launch) (launch, error) {
	if l.Collective != nil {
		c, err := b.collective(l.Collective)
		return launch{collective: c}, err
	}
	f, err := b.e.b.kernel(l)
	if err != nil {
		return launch{}, err
	}
	if err := f.setShared(l.Shared); err != nil {
		return launch{}, err
	}
	words := make([]uint64, len(l.Args))
	for i, a := range l.Args {
		if words[i], err = b.word(a); err != nil {
			return launch{}, err
		}
	}
	return launch{f: f, grid: threads(l.Grid), block: threads(l.Block), shared: l.Shared, args: arguments(words)}, nil
}

func threads(d kernels.Dim) [3]int { return [3]int{max(d.X, 1), max(d.Y, 1), max(d.Z, 1)} }

// word is the argument's 8 bytes, of which a 4-byte number takes the low half.
func (b *binder) word(a kernels.Arg) (uint64, error) {
	switch a.Kind {
	case kernels.ArgValue:
		return b.value(a.Value)
	case kernels.ArgCopy:
		if at, ok := b.e.copies[a.Value]; ok {
			return uint64(at), nil
		}
		return b.value(a.Value)
	case kernels.ArgScratch:
		return uint64(b.scratch) + uint64(a.Offset), nil
	case kernels.ArgOwn:
		return uint64(b.own) + uint64(a.Offset), nil
	case kernels.ArgTable:
		return b.table(a.Table)
	}
	return a.Bits, nil
}

func (b *binder) value(v *graph.Value) (uint64, error) {
	if v == nil {
		return 0, nil
	}
	at := b.e.address[v.ID]
	if at == 0 {
		return 0, fmt.Errorf("operand %q has no place", v.Name)
	}
	return uint64(at), nil
}

// table writes the entries to the device.
func (b *binder) table(entries []kernels.Arg) (uint64, error) {
	words := make([]byte, 0, 8*len(entries))
	for _, a := range entries {
		w, err := b.word(a)
		if err != nil {
			return 0, err
		}
		words = binary.LittleEndian.AppendUint64(words, w)
	}
	at := b.next
	b.next += address(roundUp(int64(len(words))))
	return uint64(at), b.e.send(at, words)
}
