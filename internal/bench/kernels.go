package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/model"
)

// KernelTime is what the nodes of one op and shape took: those of equal shapes and bytes are counted together.
type KernelTime struct {
	Op    graph.Op
	Shape graph.Shape   // of the first operand that is a feature map, else of the first result
	Runs  int           // nodes of a step
	Time  time.Duration // of one run
	Bytes int64         // that one run moves from and to memory at the least; 0 where it is not known
}

// BytesPerSecond is the achieved memory throughput.
func (k KernelTime) BytesPerSecond() float64 { return float64(k.Bytes) / k.Time.Seconds() }

// Kernels measures every node of a training or inference step of net alone, one after the other, and returns them
// with the most time in a step first.
func Kernels(ctx context.Context, b backend.Backend, net *model.Network, o Options) ([]KernelTime, error) {
	o.Profile = true
	results, err := Run(ctx, b, []*model.Network{net}, o)
	if err != nil {
		return nil, err
	}
	return byShape(results[0].Nodes), nil
}

// byShape joins the nodes of equal op, shape and bytes, those of a phase that is no part of a step left out. All others ran once a step.
func byShape(nodes []backend.NodeTime) []KernelTime {
	of := map[string]*KernelTime{}
	var all []*KernelTime
	total := map[*KernelTime]time.Duration{} // of a step
	for _, n := range nodes {
		if n.Runs == 0 {
			continue
		}
		shape := shapeOf(n.Node)
		key := fmt.Sprintf("%s %s %d", n.Node.Op, shape, n.Bytes)
		k := of[key]
		if k == nil {
			k = &KernelTime{Op: n.Node.Op, Shape: shape, Bytes: n.Bytes}
			of[key], all = k, append(all, k)
		}
		k.Runs++
		total[k] += n.Total / time.Duration(n.Runs)
	}
	slices.SortStableFunc(all, func(x, y *KernelTime) int { return cmp.Compare(total[y], total[x]) })
	out := make([]KernelTime, len(all))
	for i, k := range all {
		k.Time = total[k] / time.Duration(k.Runs)
		out[i] = *k
	}
	return out
}

// shapeOf is the shape by which a node's work is told.
func shapeOf(n *graph.Node) graph.Shape {
	for _, v := range slices.Concat(n.In, n.Out) {
		if v != nil && v.Role == graph.Activation && len(v.Shape) == 4 {
			return v.Shape
		}
	}
	for _, v := range slices.Concat(n.Out, n.In) {
		if v != nil {
			return v.Shape
		}
	}
	return nil
}
