package backend

import (
	"time"

	"senet/internal/graph"
)

// NodeTime is what one node took so far.
type NodeTime struct {
	Phase graph.Phase
	Node  *graph.Node
	Runs  int
	Total time.Duration
	Bytes int64 // that a run moves from and to memory at the least; 0 where it is not known
}

// Bandwidth is a backend that knows how fast its memory is.
type Bandwidth interface {
	// PeakBandwidth is what the device's memory can move, in bytes a second; 0 if it cannot be told.
	PeakBandwidth() float64
}

// Profiler is an executable that can measure its nodes.
type Profiler interface {
	// StartProfile measures every node from now on, anew if it did so already. It costs well under a microsecond a node.
	StartProfile()
	// Profile lists the times of all nodes since StartProfile, in the order they run; nil before it.
	Profile() []NodeTime
}
