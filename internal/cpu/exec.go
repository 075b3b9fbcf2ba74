package cpu

// #include "kernels.h"
// #include "onednn.h"
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"senet/internal/backend"
	"senet/internal/graph"
)

// op is a prepared node.
type op struct {
	node    *graph.Node
	scratch int64 // bytes of shared workspace while it runs
	own     int64 // bytes it keeps between runs
	// bind is called once, when memory has been placed; it returns what runs the node.
	bind func(m *binding) (run func() error)
	free func()
	wait func() error // for what other ranks add to its outputs; nil unless it has run and that is on its way
}

// binding tells an op where its operands lie.
type binding struct {
	e       *executable
	scratch unsafe.Pointer
	own     unsafe.Pointer
}

// at is the address of v, nil for nil.
func (m *binding) at(v *graph.Value) unsafe.Pointer { return m.e.at(v) }

func (m *binding) f32(v *graph.Value) *C.float { return (*C.float)(m.e.at(v)) }

// prepare turns a node into an op; compiler collects the weight layouts as it goes.
type prepare func(c *compiler, n *graph.Node) (*op, error)

// compiler is what preparing nodes shares.
type compiler struct {
	b *Backend
	layouts
	gradOf map[*graph.Value]*graph.Value // gradient, this rank's and that of all -> its parameter
	ops    [graph.PhaseCount][]*op
}

// executable is a compiled program.
type executable struct {
	b       *Backend
	p       *graph.Program
	ops     [graph.PhaseCount][]*op // by phase
	runs    [graph.PhaseCount][]func() error
	awaited [graph.PhaseCount][][]int // by phase and position: ops whose sums must have come in
	layouts
	memory  graph.Memory
	block   []byte // persistent values, arena, own and shared workspace
	address []unsafe.Pointer
	times   []backend.NodeTime // nil without a profile
	freed   bool
}

func newCompiler(b *Backend, p *graph.Program) *compiler {
	c := &compiler{b: b, layouts: newLayouts(), gradOf: map[*graph.Value]*graph.Value{}}
	for param, grad := range p.Grads {
		c.gradOf[grad] = param
	}
	for _, n := range p.Nodes() {
		switch n.Op {
		case graph.AllReduce:
			for i, v := range n.Out {
				if param := c.gradOf[v]; param != nil {
					c.gradOf[n.In[i]] = param // lies as its mean over ranks does
				}
			}
		case graph.FoldBN:
			c.plain[n.In[0]] = true
		case graph.FoldSqueeze:
			c.plain[n.In[0]], c.plain[n.Out[0]] = true, true
		case graph.EarlySqueeze:
			c.plain[n.In[1]] = true
		}
	}
	return c
}

// compile runs on the backend's thread.
func compile(b *Backend, p *graph.Program) (_ *executable, err error) {
	c := newCompiler(b, p)
	e := &executable{b: b, p: p, layouts: c.layouts}
	defer func() {
		if err != nil {
			e.ops = c.ops
			err = errors.Join(err, e.release())
		}
	}()
	C.senet_isa_use(b.isa)
	for ph := range p.Phases {
		for _, n := range p.Phases[ph] {
			f, ok := prepares[n.Op]
			if !ok {
				return nil, backend.Unsupported("cpu", n)
			}
			o, err := f(c, n)
			if err != nil {
				return nil, fmt.Errorf("cpu: %s %q: %w", n.Op, n.Name, err)
			}
			o.node = n
			c.ops[ph] = append(c.ops[ph], o)
		}
	}
	e.ops = c.ops
	for ph := range e.ops {
		e.awaited[ph] = graph.Awaited(p.Phases[ph], travels)
	}
	return e, e.place()
}

// Run executes the nodes of a phase on the backend's thread.
func (e *executable) Run(ph graph.Phase) error {
	return e.b.thread.do(func() error {
		C.senet_isa_use(e.b.isa)
		spent := e.stopwatch(ph)
		for i := range e.awaited[ph] {
			for _, at := range e.awaited[ph][i] {
				if err := e.ops[ph][at].finish(); err != nil {
					return e.failed(ph, at, err)
				}
				spent(at, 0)
			}
			if i == len(e.ops[ph]) {
				break
			}
			if err := e.runs[ph][i](); err != nil {
				return e.failed(ph, i, err)
			}
			spent(i, 1)
		}
		return nil
	})
}

// failed names the node that err comes from. Sums that are on their way still use the memory: they are waited for.
func (e *executable) failed(ph graph.Phase, i int, err error) error {
	for _, o := range e.ops[ph] {
		_ = o.finish() // err came first
	}
	n := e.ops[ph][i].node
	return fmt.Errorf("cpu: %s %q: %w", n.Op, n.Name, err)
}

// Memory tells where the bytes went.
func (e *executable) Memory() graph.Memory { return e.memory }

// Close frees the primitives and the memory.
func (e *executable) Close() error {
	return e.b.thread.do(e.release)
}

func (e *executable) release() error {
	if e.freed {
		return errors.New("cpu: executable closed twice")
	}
	e.freed = true
	for ph := range e.ops {
		for _, o := range e.ops[ph] {
			if o.free != nil {
				o.free()
			}
		}
	}
	e.layouts.release()
	err := unmap(e.block)
	e.ops, e.runs, e.awaited, e.block = [graph.PhaseCount][]*op{}, [graph.PhaseCount][]func() error{}, [graph.PhaseCount][][]int{}, nil
	e.address = make([]unsafe.Pointer, len(e.p.Values))
	return err
}
