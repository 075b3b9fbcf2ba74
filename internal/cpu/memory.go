package cpu

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"senet/internal/backend"
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
	block, err := e.allocate()
	if err != nil {
		return fmt.Errorf("cpu: %w", err)
	}
	e.block = block
	e.address = make([]unsafe.Pointer, len(e.p.Values))
	next, arena := int64(0), e.memory.Persistent
	used := e.p.Used()
	for _, v := range e.p.Values {
		switch {
		case v.Role != graph.Activation && used[v]:
			e.address[v.ID] = e.pointer(next)
			next += roundUp(e.size(v))
		case e.memory.Offset[v.ID] >= 0:
			e.address[v.ID] = e.pointer(arena + e.memory.Offset[v.ID])
		}
	}
	e.bind(arena+e.memory.Arena, e.memory.Peak()-shared)
	return nil
}

// allocate maps the block. It is refused before it is asked for if the memory is not there: Linux would grant it, and
// kill the process once it is used.
func (e *executable) allocate() ([]byte, error) {
	need := e.memory.Peak()
	free, total, err := room(os.DirFS("/"))
	if err != nil {
		return nil, err
	}
	var block []byte
	if need <= free {
		if block, err = mapMemory(need); err == nil {
			return block, nil
		}
	}
	full := backend.NewOutOfMemory(e.p, e.memory, e.size)
	full.Free, full.Total, full.Err = free, total, err
	return nil, full
}

// bind gives each op its addresses: own workspaces follow each other from byte at on, the shared one starts at byte shared.
func (e *executable) bind(at, shared int64) {
	for ph := range e.ops {
		for _, o := range e.ops[ph] {
			m := &binding{e: e, own: e.pointer(at), scratch: e.pointer(shared)}
			e.runs[ph] = append(e.runs[ph], o.bind(m))
			at += roundUp(o.own)
		}
	}
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

// hosted is the address of v for a copy from or to the host.
func (e *executable) hosted(v *graph.Value) (unsafe.Pointer, error) {
	if v.ID >= len(e.p.Values) || e.p.Values[v.ID] != v || e.address[v.ID] == nil {
		return nil, errors.New("not part of the program")
	}
	return e.address[v.ID], nil
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
