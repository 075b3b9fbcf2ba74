package kernels

import "senet/internal/graph"

// Sizes of linear.cu: the square tile that a block makes, how far it goes along K at a time, and its threads.
const (
	linearTile    = 64
	linearDepth   = 16
	linearThreads = 256
)

// matrixProduct is a launch of linear.cu that makes C (m, n) over k.
type matrixProduct struct {
	m, n, k int
	splits  int // of k, each making its own C in the workspace
	stretch int // elements of k of a split
}

// product splits k where C has too few tiles for the device: four blocks of 256 threads for every multiprocessor hide each
// other's waiting. A split goes at least four steps along k, so that what it computes outweighs what linear_sum reads.
func (p *Planner) product(m, n, k int) matrixProduct {
	tiles := ceilDiv(m, linearTile) * ceilDiv(n, linearTile)
	splits := max(1, min(4*p.SMs/tiles, k/(4*linearDepth)))
	stretch := linearDepth * ceilDiv(ceilDiv(k, splits), linearDepth)
	return matrixProduct{m: m, n: n, k: k, splits: ceilDiv(k, stretch), stretch: stretch}
}

// launch runs kernel, whose last arguments are the product's sizes.
func (c matrixProduct) launch(kernel string, bytes int64, args ...Arg) Launch {
	return Launch{
		Module: "linear", Kernel: kernel,
		Grid:  Dim{X: ceilDiv(c.n, linearTile), Y: ceilDiv(c.m, linearTile), Z: c.splits},
		Block: Dim{X: linearThreads},
		Args:  append(args, i32(c.m), i32(c.n), i32(c.k), i32(c.stretch)), Bytes: bytes,
	}
}

// sum adds up the splits' results for v, and the bias, which may be nil.
func (c matrixProduct) sum(p *Planner, v *graph.Value, partial Arg, bias *graph.Value) Launch {
	columns := 1
	if bias != nil {
		columns = bias.Shape[0]
	}
	l := p.walk("linear", "linear_sum", v, 1, at(v), partial, at(bias), i32(c.splits), i32(columns), i64(int64(v.Shape.Elems())))
	l.Bytes = int64(c.splits+1) * p.traffic(v)
	return l
}

// linearWidth is how many neighbours a thread loads at once: rows of both i and o elements must allow it.
func linearWidth(i, o int) int { return min(width(F32, i), width(F32, o)) }

func linear(p *Planner, n *graph.Node) (Plan, error) {
	x, w, bias, out := n.In[0], n.In[1], n.In[2], n.Out[0]
	o, i := w.Shape[0], w.Shape[1]
	c := p.product(x.Shape[0], o, i)
	kernel, bytes := variant("linear", F32, linearWidth(i, o)), p.traffic(x, w, bias, out)
	var ws workspace
	to := c.output(p, &ws, out)
	var plan Plan
	if c.splits == 1 {
		plan.add(&ws, c.launch(kernel, bytes, to, at(x), at(w), at(bias)))
	} else {
		plan.add(&ws, c.launch(kernel, bytes, to, at(x), at(w), null()))
		plan.add(&ws, c.sum(p, out, to, bias))
	}
	return plan, nil
}

func linearGrad(p *Planner, n *graph.Node) (Plan, error) {
	dy, x, w, dx, dw, db := n.In[0], n.In[1], n.In[2], n.Out[0], n.Out[1], n.Out[2]
	rows, o, i := x.Shape[0], w.Shape[0], w.Shape[1]
	lanes := linearWidth(i, o)
	var plan Plan
	if dx != nil {
		c := p.product(rows, i, o)
		var ws workspace
		to := c.output(p, &ws, dx)
		plan.add(&ws, c.launch(variant("linear_grad_input", F32, lanes), p.traffic(dy, w, dx), to, at(dy), at(w)))
		if c.splits > 1 {
			plan.add(&ws, c.sum(p, dx, to, nil))
		}
	}
	c := p.product(o, i, rows)
	var ws workspace
	to, sums := c.output(p, &ws, dw), null()
	if db != nil {
		sums = c.output(p, &ws, db)
	}
	plan.add(&ws, c.launch(variant("linear_grad_weight", F32, lanes), p.traffic(dy, x, dw, db), to, sums, at(dy), at(x)))
	if c.splits > 1 {
		plan.add(&ws, c.sum(p, dw, to, nil))
		if db != nil {
			plan.add(&ws, c.sum(p, db, sums, nil))
		}
	}
	return plan, nil
}

// output is where the product writes v: itself, or for each split a place in the workspace.
func (c matrixProduct) output(p *Planner, ws *workspace, v *graph.Value) Arg {
	if c.splits == 1 {
		return at(v)
	}
	return ws.take(int64(c.splits) * p.traffic(v))
}

// add appends a launch that uses ws. Launches follow each other, so several workspaces share the memory.
func (p *Plan) add(ws *workspace, l Launch) {
	p.Launches = append(p.Launches, l)
	p.Scratch = max(p.Scratch, ws.bytes)
}
