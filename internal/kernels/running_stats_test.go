package kernels

import (
	"testing"

	"senet/internal/graph"
)

// TestRunningStatsAreGrouped: neighbours are one launch, unless one writes what another of them does.
func TestRunningStatsAreGrouped(t *testing.T) {
	value := func() *graph.Value { return &graph.Value{Shape: graph.Shape{5000}} }
	stats := func(out ...*graph.Value) *graph.Node {
		if out == nil {
			out = []*graph.Value{value(), value()}
		}
		return &graph.Node{Op: graph.RunningStats, Attr: graph.RunningStatsAttr{Momentum: 0.1, Count: 2}, In: []*graph.Value{value(), value()}, Out: out}
	}
	x, y := value(), value()
	relu := &graph.Node{Op: graph.ReLU, In: []*graph.Value{value()}, Out: []*graph.Value{value()}}
	nodes := Grouped([]*graph.Node{stats(), stats(x, y), stats(), relu, stats(x, y), stats(x, y)})
	var batchNorms []int // of each node
	for _, n := range nodes {
		norms, _ := n.Attr.([]graph.RunningStatsAttr)
		batchNorms = append(batchNorms, len(norms))
		if len(n.In) != max(1, 2*len(norms)) || len(n.Out) != len(n.In) {
			t.Errorf("%d operands, %d results of %d batch norms", len(n.In), len(n.Out), len(norms))
		}
	}
	if len(nodes) != 4 || batchNorms[0] != 3 || nodes[1] != relu || batchNorms[2] != 1 || batchNorms[3] != 1 {
		t.Errorf("nodes of %v batch norms", batchNorms)
	}
	plan, err := NewPlanner(&graph.Program{}, BFloat16, Device{Compute: 90, SMs: 132}).Plan(nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	if l := plan.Launches[0]; len(plan.Launches) != 1 || l.Grid.X != 6 || l.Bytes != 3*24*5000 || len(l.Args[0].Table) != 3*7 {
		t.Errorf("launches %+v", plan.Launches)
	}
}
