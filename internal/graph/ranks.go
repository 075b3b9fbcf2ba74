package graph

import (
	"cmp"
	"fmt"
	"slices"
)

// Sizes of buckets in bytes: gradients travel together, in parcels large enough to fill the wire, the first one small so that it
// leaves early. The numbers are those of PyTorch's DistributedDataParallel (Li et al. 2020, section 3.2.3).
const (
	firstBucket = 1 << 20
	laterBucket = 25 << 20
)

// buckets cuts vs, in order, into stretches that are closed once they hold as much as a bucket's size.
func buckets(vs []*Value) [][]*Value {
	var all [][]*Value
	var bucket []*Value
	size, limit := int64(0), int64(firstBucket)
	for _, v := range vs {
		bucket = append(bucket, v)
		if size += v.Bytes(); size >= limit {
			all, bucket, size, limit = append(all, bucket), nil, 0, laterBucket
		}
	}
	if bucket != nil {
		all = append(all, bucket)
	}
	return all
}

// Ranks is how many ranks n computes together with, 1 for a node that needs no other rank.
func (n *Node) Ranks() int {
	switch a := n.Attr.(type) {
	case AllReduceAttr:
		return max(a.Ranks, 1)
	case BatchNormAttr:
		return max(a.Sync, 1)
	case BNSEAddReLUAttr:
		return max(a.Sync, 1)
	}
	return 1
}

// Awaited lists for each position among nodes, its end included, the nodes with travelling sums that must have come in before: those of
// which the node there is the first to touch an output, and at the end those whose outputs none touches. travels reports
// whether the sums of a node are still on their way when it has run.
func Awaited(nodes []*Node, travels func(*Node) bool) (before [][]int) {
	before = make([][]int, len(nodes)+1)
	for i, n := range nodes {
		if !travels(n) {
			continue
		}
		touches := func(v *Value) bool { return v != nil && slices.Contains(n.Out, v) }
		at := i + 1
		for at < len(nodes) && !slices.ContainsFunc(nodes[at].In, touches) && !slices.ContainsFunc(nodes[at].Out, touches) {
			at++
		}
		before[at] = append(before[at], i)
	}
	return before
}

// synchronised are nodes with every batch norm over the images of all ranks.
func synchronised(nodes []*Node, ranks int) []*Node {
	all := slices.Clone(nodes)
	for i, n := range nodes {
		if n.Op == BatchNorm {
			sync, a := *n, n.Attr.(BatchNormAttr)
			a.Sync = ranks
			sync.Attr = a
			all[i] = &sync
		}
	}
	return all
}

// allReduce is a node that makes a new value of each of in.
func (p *Program) allReduce(name string, a AllReduceAttr, in ...*Value) *Node {
	n := &Node{Op: AllReduce, Name: name, Attr: a, In: in}
	for _, v := range in {
		n.Out = append(n.Out, p.activation(v.Name, v.Shape))
	}
	return n
}

// stop declares the input Stop.
func (p *Program) stop() *Value {
	p.Stop = p.value(Value{Name: "stop", Shape: Shape{1}, Role: Input})
	return p.Stop
}

// reduceGrads puts the mean over ranks in the place of every gradient: they are cut into buckets as the backward pass finishes
// them, and each bucket's node stands right after the one that finishes it, so that its sums travel while the pass goes on.
// The last bucket carries the loss and Stop too, which are too precise to travel in half the bits: then they have a node of their own.
func (p *Program) reduceGrads(g *Graph, o TrainingOptions) {
	position := map[*Value]int{}
	for i, n := range p.Phases[Step] {
		for _, v := range n.Out {
			position[v] = i
		}
	}
	params := g.Params()
	slices.SortStableFunc(params, func(a, b *Value) int { return cmp.Compare(position[p.Grads[a]], position[p.Grads[b]]) })
	after := map[int][]*Node{} // by position
	last := (*Node)(nil)
	for i, bucket := range buckets(params) {
		var in []*Value
		for _, v := range bucket {
			in = append(in, p.Grads[v])
		}
		last = p.allReduce(fmt.Sprint("gradients ", i), AllReduceAttr{Ranks: o.Ranks, Half: o.HalfWire}, in...)
		for k, v := range bucket {
			p.Grads[v] = last.Out[k]
		}
		at := position[in[len(in)-1]]
		after[at] = append(after[at], last)
	}
	var nodes []*Node
	for i, n := range p.Phases[Step] {
		nodes = append(append(nodes, n), after[i]...)
	}
	p.Phases[Step] = nodes
	decisions := p.allReduce("decisions", AllReduceAttr{Ranks: o.Ranks}, p.Loss, p.stop())
	p.Loss, p.Stopped = decisions.Out[0], decisions.Out[1]
	if o.HalfWire {
		p.emit(Step, decisions)
		return
	}
	last.In, last.Out = append(last.In, decisions.In...), append(last.Out, decisions.Out...)
}

// reduceDecisions ends a step whose gradients stay on their rank with the means of what decides how training goes on.
func (p *Program) reduceDecisions(o TrainingOptions) {
	n := p.allReduce("decisions", AllReduceAttr{Ranks: o.Ranks}, p.Loss, p.GradNorm, p.stop())
	p.Loss, p.GradNorm, p.Stopped = n.Out[0], n.Out[1], n.Out[2]
	p.emit(Step, n)
}

// reduceSums starts an update with the means over ranks of the sums of gradients.
func (p *Program) reduceSums(sums []*Value, o TrainingOptions) {
	for i, bucket := range buckets(sums) {
		a := AllReduceAttr{Ranks: o.Ranks, Half: o.HalfWire}
		p.emit(Update, &Node{Op: AllReduce, Name: fmt.Sprint("sums ", i), Attr: a, In: bucket, Out: bucket})
	}
}

// emitShare appends the means over ranks of running statistics and their moving averages.
func (p *Program) emitShare(g *Graph, ranks int) {
	n := &Node{Op: AllReduce, Name: "running statistics", Attr: AllReduceAttr{Ranks: ranks}, In: g.States()}
	for _, v := range n.In {
		if average := p.EMA[v]; average != nil {
			n.In = append(n.In, average)
		}
	}
	if n.Out = n.In; len(n.In) > 0 {
		p.emit(Share, n)
	}
}
