package cpu

import (
	"slices"
	"time"

	"senet/internal/backend"
	"senet/internal/graph"
)

// StartProfile lays out one entry a node: Run measures while there are entries.
func (e *executable) StartProfile() {
	e.times = nil
	for ph := range e.ops {
		for _, o := range e.ops[ph] {
			e.times = append(e.times, backend.NodeTime{Phase: graph.Phase(ph), Node: o.node, Bytes: operandBytes(o.node)})
		}
	}
}

// operandBytes counts each operand once: what is not in a cache moves at least once.
func operandBytes(n *graph.Node) int64 {
	seen := map[*graph.Value]bool{nil: true}
	var sum int64
	for _, v := range slices.Concat(n.In, n.Out) {
		if !seen[v] {
			seen[v] = true
			sum += v.Bytes()
		}
	}
	return sum
}

// Profile lists the times of all nodes since StartProfile.
func (e *executable) Profile() []backend.NodeTime { return slices.Clone(e.times) }

// stopwatch returns what takes the time since it was called last as that of an op of a phase: a clock reading a node, less than
// 0.1 microseconds. What an op waits for other ranks counts as its own time, wherever the waiting is done.
func (e *executable) stopwatch(ph graph.Phase) (spent func(op, runs int)) {
	if e.times == nil {
		return func(int, int) {}
	}
	times := e.times
	for _, before := range e.ops[:ph] {
		times = times[len(before):]
	}
	last := time.Now()
	return func(op, runs int) {
		now := time.Now()
		times[op].Runs += runs
		times[op].Total += now.Sub(last)
		last = now
	}
}
