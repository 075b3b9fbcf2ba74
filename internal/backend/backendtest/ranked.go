package backendtest

import (
	"errors"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
)

// wire is the least tolerance between ranks, which send float32 whatever they compute in.
const wire = 1e-5

// ranked runs what bs, the ranks of one job, do together; alone is a backend of the same kind.
func ranked(t *testing.T, bs []backend.Backend, alone backend.Backend, o Options) {
	o.Tolerance = max(o.Tolerance, wire)
	t.Run("all_reduce", func(t *testing.T) { reductions(t, bs, o.Tolerance) })
	t.Run("sync_batch_norm", func(t *testing.T) { syncNorms(t, bs, o) })
	t.Run("wrong number", func(t *testing.T) { wrongNumber(t, bs, alone) })
	t.Run("network", func(t *testing.T) { rankedNetworks(t, bs, alone, o) })
}

// wrongNumber: a program for another number of ranks is refused when it is compiled.
func wrongNumber(t *testing.T, bs []backend.Backend, alone backend.Backend) {
	for _, op := range []graph.Op{graph.AllReduce, graph.BatchNorm} {
		for _, b := range append([]backend.Backend{alone}, bs...) {
			c := newCase("wrong number")
			if op == graph.AllReduce {
				x := c.mapIn("x", 2, 3)
				c.node(forward, op, graph.AllReduceAttr{Ranks: len(bs) + 1}, []*graph.Value{x}, []*graph.Value{x})
			} else {
				batchNorm(c, graph.Shape{2, 3, 4, 5}, 0)
				for ph, nodes := range c.p.Phases {
					for i, n := range nodes {
						c.p.Phases[ph][i].Attr = over(len(bs)+1, n.Attr)
					}
				}
			}
			exe, err := b.Compile(c.p)
			if !errors.Is(err, backend.ErrUnsupported) {
				t.Errorf("%s for %d ranks on %s: %v, want %v", op, len(bs)+1, b.Name(), err, backend.ErrUnsupported)
			}
			if err == nil {
				report(t, "", closing(exe))
			}
		}
	}
}
