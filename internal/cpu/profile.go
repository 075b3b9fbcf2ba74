package cpu

import (
	"slices"
	"time"

	"senet/internal/graph"
)

// NodeTime is what one node took so far.
type NodeTime struct {
	Phase graph.Phase
	Node  *graph.Node
	Runs  int
	Total time.Duration
}

// Profiler is an executable of a backend opened with Options.Profile.
type Profiler interface {
	// Profile lists the times of all nodes since the last ResetProfile, in the order they run; nil without Options.Profile.
	Profile() []NodeTime
	// ResetProfile starts the times anew, e.g. after a warm-up.
	ResetProfile()
}

func (e *executable) Profile() []NodeTime { return slices.Clone(e.times) }

func (e *executable) ResetProfile() {
	for i := range e.times {
		e.times[i].Runs, e.times[i].Total = 0, 0
	}
}

// startProfile lays out one entry a node.
func (e *executable) startProfile() {
	for ph := range e.ops {
		for _, o := range e.ops[ph] {
			e.times = append(e.times, NodeTime{Phase: graph.Phase(ph), Node: o.node})
		}
	}
}

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
