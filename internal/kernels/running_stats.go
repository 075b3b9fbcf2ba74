package kernels

import (
	"slices"

	"senet/internal/graph"
)

// Grouped are nodes with every run of running_stats as one node, which has all their operands in turn and their attributes in a
// slice: a launch for each of the batch norms of a deep network would take longer than what it does. A value that one of them
// writes no other of a run touches.
func Grouped(nodes []*graph.Node) []*graph.Node {
	var all []*graph.Node
	var group *graph.Node // the last of all, if it is one
	for _, n := range nodes {
		if n.Op != graph.RunningStats {
			all, group = append(all, n), nil
			continue
		}
		if group == nil || slices.ContainsFunc(n.Out, func(v *graph.Value) bool { return slices.Contains(group.Out, v) }) {
			group = &graph.Node{Op: n.Op, Name: n.Name, Attr: []graph.RunningStatsAttr(nil)}
			all = append(all, group)
		}
		group.In, group.Out = append(group.In, n.In...), append(group.Out, n.Out...)
		group.Attr = append(group.Attr.([]graph.RunningStatsAttr), n.Attr.(graph.RunningStatsAttr))
	}
	return all
}

// runningStats plans a node of Grouped.
func runningStats(p *Planner, n *graph.Node) (Plan, error) {
	var stats []Arg
	var means []*graph.Value
	for i, a := range n.Attr.([]graph.RunningStatsAttr) {
		mean, variance, runningMean, runningVar := n.In[2*i], n.In[2*i+1], n.Out[2*i], n.Out[2*i+1]
		unbias := float64(a.Count) / float64(max(a.Count-1, 1)) // one value has variance 0 either way
		stats = append(stats, at(runningMean), at(runningVar), at(mean), at(variance), i64(int64(mean.Shape[0])), f64(float64(a.Momentum)), f64(unbias))
		means = append(means, mean)
	}
	entries := chunks(means)
	return p.one(Launch{
		Module: "running_stats", Kernel: "running_stats", Grid: Dim{X: len(entries)}, Block: Dim{X: chunkThreads},
		Args: []Arg{table(stats...), table(entries...)},
	}, slices.Concat(n.In, n.Out, n.Out)...)
}
