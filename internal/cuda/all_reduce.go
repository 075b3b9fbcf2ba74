package cuda

import (
	"slices"

	"senet/internal/graph"
	"senet/internal/kernels"
)

func (b *Backend) ranks() int {
	if b.job == nil {
		return 1
	}
	return b.job.ranks
}

// ranksLost is why the other ranks cannot be reached any more, nil if they can or there are none.
func (b *Backend) ranksLost() error {
	if b.job == nil {
		return nil
	}
	return b.job.check()
}

// travels reports whether the sums of o go on after its run.
func (o *op) travels() bool { return o.node.Op == graph.AllReduce }

// awaited lists for each position among a phase's ops, its end included, the ops whose sums must have come in before:
// those of which the op there is the first to touch an output, and at the end those that no op touches.
func awaited(ops []*op) [][]*op {
	before := make([][]*op, len(ops)+1)
	for i, o := range ops {
		if !o.travels() {
			continue
		}
		at := i + 1
		for at < len(ops) && !ops[at].touches(o.node.Out) {
			at++
		}
		before[at] = append(before[at], o)
	}
	return before
}

func (o *op) touches(values []*graph.Value) bool {
	return slices.ContainsFunc(slices.Concat(o.node.In, o.node.Out), func(v *graph.Value) bool { return v != nil && slices.Contains(values, v) })
}

// await lets the compute stream wait for the sums of ops.
func (e *executable) await(ops []*op) error {
	for _, o := range ops {
		if err := e.b.compute.wait(o.done); err != nil {
			return err
		}
	}
	return nil
}

// collective resolves the addresses of c.
func (b *binder) collective(c *kernels.Collective) (*collective, error) {
	from, err := b.word(c.From)
	if err != nil {
		return nil, err
	}
	to, err := b.word(c.To)
	if err != nil {
		return nil, err
	}
	count := c.Count
	if c.Last != nil {
		last, err := b.value(c.Last)
		if err != nil {
			return nil, err
		}
		count = int64(last+uint64(b.e.planner.Bytes(c.Last))-from) / int64(c.Type.Size())
	}
	return &collective{gather: c.Gather, t: c.Type, from: address(from), to: address(to), count: count}, nil
}
