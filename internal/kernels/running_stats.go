package kernels

import "senet/internal/graph"

func runningStats(p *Planner, n *graph.Node) (Plan, error) {
	a := n.Attr.(graph.RunningStatsAttr)
	mean, variance, runningMean, runningVar := n.In[0], n.In[1], n.Out[0], n.Out[1]
	unbias := float64(a.Count) / float64(max(a.Count-1, 1)) // one value has variance 0 either way
	l := p.walk("running_stats", "running_stats", mean, 1,
		at(runningMean), at(runningVar), at(mean), at(variance), f32(a.Momentum), f32(float32(unbias)), i64(int64(mean.Shape[0])))
	return p.one(l, mean, variance, runningMean, runningVar, runningMean, runningVar)
}
