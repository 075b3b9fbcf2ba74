package cpu

import (
	"fmt"
	"syscall"
	"unsafe"

	"senet/internal/graph"
)

// line is the alignment of every buffer in bytes.
const line = 64

func roundUp(n int64) int64 { return (n + line - 1) / line * line }

// size is the number of bytes of v as it lies here: weights may be padded to blocks.
func (e *executable) size(v *graph.Value) int64 {
	if w := e.weights[v]; w != nil {
		return w.bytes()
	}
	return v.Bytes()
}

// place plans the memory and maps it as one block: persistent values, then the arena of
// activations, then what ops own, then the workspace that they share. It then binds the ops.
func (e *executable) place() error {
	e.memory = graph.PlanMemory(e.p, e.size)
	var own, shared int64
	for ph := range e.ops {
		for _, o := range e.ops[ph] {
			own += roundUp(o.own)
			shared = max(shared, roundUp(o.scratch))
		}
	}
	e.memory.Scratch = own + shared
	block, err := mapMemory(e.memory.Peak())
	if err != nil {
		return fmt.Errorf("cpu: allocate %d bytes: %w", e.memory.Peak(), err)
	}
	e.block = block
	e.address = make([]unsafe.Pointer, len(e.p.Values))
	next := int64(0)
	arena := e.memory.Persistent
	for _, v := range e.p.Values {
		if at := e.memory.Offset[v.ID]; at >= 0 {
			e.address[v.ID] = e.pointer(arena + at)
		}
	}
	for _, v := range append(e.p.Persistent(), e.p.Inputs()...) {
		e.address[v.ID] = e.pointer(next)
		next += roundUp(e.size(v))
	}
	at := arena + e.memory.Arena
	for ph := range e.ops {
		for _, o := range e.ops[ph] {
			e.runs[ph] = append(e.runs[ph], o.bind(&binding{e: e, own: e.pointer(at), scratch: e.pointer(e.memory.Peak() - shared)}))
			at += roundUp(o.own)
		}
	}
	return nil
}

func (e *executable) pointer(at int64) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(e.block)), at)
}

// at is the address of v, nil for nil.
func (e *executable) at(v *graph.Value) unsafe.Pointer {
	if v == nil {
		return nil
	}
	return e.address[v.ID]
}

// mapMemory maps n zeroed bytes outside Go's heap, in huge pages where the kernel has them:
// the address of a buffer never moves and C may keep it.
func mapMemory(n int64) ([]byte, error) {
	b, err := syscall.Mmap(-1, 0, int(max(n, line)), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) // only a hint
	return b, nil
}

func unmap(b []byte) error {
	if b == nil {
		return nil
	}
	return syscall.Munmap(b)
}
