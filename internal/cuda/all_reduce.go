package cuda

import (
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

// travels reports whether the sums of n go on after its run: those of states in place too.
func travels(n *graph.Node) bool { return n.Op == graph.AllReduce }

// await lets the compute stream wait for the sums that must have come in before position i of a phase.
func (e *executable) await(ph graph.Phase, i int) error {
	for _, at := range e.awaited[ph][i] {
		if err := e.b.compute.wait(e.ops[ph][at].done); err != nil {
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
