package cpu

// #include "kernels.h"
// #include "onednn.h"
import "C"

import "senet/internal/graph"

// matmul is c (m, n) = op(a) op(b) + bias; a transposed operand is stored (k, m) or (n, k).
func (c *compiler) matmul(m, k, n int, transA, transB bool, a, b, out, bias *graph.Value) (*op, error) {
	var p *C.senet_primitive
	operands := []*graph.Value{a, b, out}
	if bias != nil {
		operands = append(operands, bias)
	}
	err := message(C.senet_matmul_new(c.b.engine, C.int(m), C.int(k), C.int(n), cbool(transA), cbool(transB), cbool(bias != nil), &p))
	if err != nil {
		return nil, err
	}
	return c.primitive(p, operands...), nil
}

// linear is out (N, O) = x (N, I) w' + bias with w (O, I).
func linear(c *compiler, n *graph.Node) (*op, error) {
	x, w, bias, out := n.In[0], n.In[1], n.In[2], n.Out[0]
	c.plain[w] = true
	return c.matmul(x.Shape[0], x.Shape[1], out.Shape[1], false, true, x, w, out, bias)
}

// linearGrad is dw (O, I) = dy' x, dx (N, I) = dy w, db (O) the column sums of dy (N, O).
func linearGrad(c *compiler, n *graph.Node) (*op, error) {
	dy, x, w, dx, dw, db := n.In[0], n.In[1], n.In[2], n.Out[0], n.Out[1], n.Out[2]
	rows, in, out := x.Shape[0], x.Shape[1], dy.Shape[1]
	c.plain[w], c.plain[dw] = true, true
	parts := make([]*op, 0, 3)
	weights, err := c.matmul(out, rows, in, true, false, dy, x, dw, nil)
	if err != nil {
		return nil, err
	}
	parts = append(parts, weights)
	if dx != nil {
		input, err := c.matmul(rows, out, in, false, false, dy, w, dx, nil)
		if err != nil {
			weights.free()
			return nil, err
		}
		parts = append(parts, input)
	}
	if db != nil {
		parts = append(parts, &op{bind: func(m *binding) func() error {
			a := &C.senet_column_sums_args{m: C.int(rows), n: C.int(out), a: m.f32(dy), sums: m.f32(db)}
			return func() error {
				C.senet_column_sums(a)
				return nil
			}
		}})
	}
	return sequence(parts), nil
}

// sequence is one op that runs parts in order, sharing one workspace.
func sequence(parts []*op) *op {
	o := &op{
		bind: func(m *binding) func() error {
			runs := make([]func() error, len(parts))
			for i, p := range parts {
				runs[i] = p.bind(m)
			}
			return func() error {
				for _, run := range runs {
					if err := run(); err != nil {
						return err
					}
				}
				return nil
			}
		},
		free: func() {
			for _, p := range parts {
				if p.free != nil {
					p.free()
				}
			}
		},
	}
	for _, p := range parts {
		o.scratch = max(o.scratch, p.scratch)
	}
	return o
}
