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

// runTimed runs a phase like Run; two clock readings a node, about 0.1 microseconds.
func (e *executable) runTimed(ph graph.Phase) error {
	times := e.times
	for _, before := range e.ops[:ph] {
		times = times[len(before):]
	}
	last := time.Now()
	for i, run := range e.runs[ph] {
		if err := run(); err != nil {
			return e.failed(ph, i, err)
		}
		now := time.Now()
		times[i].Runs++
		times[i].Total += now.Sub(last)
		last = now
	}
	return nil
}
