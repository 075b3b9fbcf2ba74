package backendtest

import (
	"slices"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/ref"
)

// oracles are ranks of a job on the oracle, as spoil makes them.
func oracles(ranks int, spoil func(rank int, b backend.Backend) backend.Backend) []backend.Backend {
	var bs []backend.Backend
	for rank, c := range Collectives(ranks) {
		bs = append(bs, spoil(rank, ref.NewRanked(c)))
	}
	return bs
}

// solitary runs the nodes of one op as if there were no other ranks.
type solitary struct {
	backend.Backend
	op graph.Op
}

func (b solitary) Compile(p *graph.Program) (backend.Executable, error) {
	q := *p
	for ph, nodes := range p.Phases {
		q.Phases[ph] = slices.Clone(nodes)
		for i, n := range nodes {
			if n.Op != b.op {
				continue
			}
			alone := *n
			alone.Attr = over(0, n.Attr)
			if _, ok := n.Attr.(graph.AllReduceAttr); ok {
				alone.Attr = graph.AllReduceAttr{Ranks: 1}
			}
			q.Phases[ph][i] = &alone
		}
	}
	return b.Backend.Compile(&q)
}

// A backend whose ranks do not meet is reported by every case, whichever half of a batch norm it forgets.
func TestSolitaryRanksAreReported(t *testing.T) {
	bs := oracles(2, func(_ int, b backend.Backend) backend.Backend { return solitary{b, graph.AllReduce} })
	for _, d := range allReduceCases() {
		if errs := d.check(bs, false, wire); len(errs) == 0 && d.name != "nan" {
			t.Errorf("all_reduce, %s: not reported", d.name)
		}
	}
	for _, op := range []graph.Op{graph.BatchNorm, graph.BatchNormGrad, graph.BNSEAddReLU, graph.BNSEAddReLUGrad} {
		bs := oracles(2, func(_ int, b backend.Backend) backend.Backend { return solitary{b, op} })
		cases := 0
		for _, d := range syncCases(2) {
			c := d.make()
			if !slices.ContainsFunc(c.p.Nodes(), func(n *graph.Node) bool { return n.Op == op }) {
				continue
			}
			cases++
			if len(c.checkSync(bs, c.p.Values[0].Shape[0], false, nil, wire)) == 0 {
				t.Errorf("%s, %s: not reported", op, d.name)
			}
		}
		if cases == 0 {
			t.Errorf("%s has no case", op)
		}
	}
}

// A mistake of one rank in any output is reported.
func TestRankedMutantsAreReported(t *testing.T) {
	for kind, spoil := range spoils {
		for _, output := range []int{0, 1} {
			bs := oracles(2, func(rank int, b backend.Backend) backend.Backend {
				if rank == 0 {
					return b
				}
				return mutant{b, graph.AllReduce, output, spoil}
			})
			if !slices.ContainsFunc(allReduceCases(), func(d reduction) bool { return len(d.check(bs, false, wire)) > 0 }) {
				t.Errorf("all_reduce, output %d, %s: not reported", output, kind)
			}
		}
		for _, op := range []graph.Op{graph.BatchNorm, graph.BatchNormGrad, graph.BNSEAddReLU, graph.BNSEAddReLUGrad} {
			for output := range graph.TailShortcutBeta + 1 {
				bs := oracles(2, func(rank int, b backend.Backend) backend.Backend {
					if rank == 0 {
						return b
					}
					return mutant{b, op, output, spoil}
				})
				written, reported := false, false
				for _, d := range syncCases(2) {
					c := d.make()
					if reported || !slices.ContainsFunc(c.p.Nodes(), func(n *graph.Node) bool { return n.Op == op && output < len(n.Out) && n.Out[output] != nil }) {
						continue
					}
					written = true
					reported = len(c.checkSync(bs, c.p.Values[0].Shape[0], false, nil, wire)) > 0
				}
				if written && !reported {
					t.Errorf("%s, output %d, %s: not reported", op, output, kind)
				}
			}
		}
	}
}

// Ranks that train each for itself are reported, whatever they forget to share.
func TestSolitaryTrainingIsReported(t *testing.T) {
	net, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range rankedTrainings() {
		bs := oracles(2, func(_ int, b backend.Backend) backend.Backend { return solitary{b, graph.AllReduce} })
		runs, err := c.onRanks(net, bs)
		if err != nil {
			t.Fatal(err)
		}
		want, err := c.alone(net, ref.New(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(differences(runs[0], want, wire)) == 0 || len(differences(runs[1], runs[0], 0)) == 0 {
			t.Errorf("%s: not reported", c.name)
		}
	}
}

// What a backend does to a sum that is on its way is told to it.
func TestTouchingASumIsReported(t *testing.T) {
	ends := Collectives(2)
	for _, touch := range []func(x []float32){func(x []float32) { x[1] = 3 }, func([]float32) {}} {
		xs := [][]float32{{1, 2}, {10, 20}}
		first, second := ends[0].Sum(xs[0]), ends[1].Sum(xs[1])
		touch(xs[1])
		errs := []error{first(), second()}
		touched := xs[1][1] == 3
		if errs[0] != nil || (errs[1] != nil) != touched || xs[0][0] != 11 || xs[0][1] != 22 {
			t.Errorf("touched %v: errors %v, sums %v", touched, errs, xs)
		}
	}
}
