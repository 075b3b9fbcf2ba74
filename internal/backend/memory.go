package backend

import (
	"fmt"
	"strings"

	"senet/internal/graph"
)

// OutOfMemory is the error of a program that its device has no room for. Numbers are bytes.
type OutOfMemory struct {
	Asked, Free, Total int64          // Total is what the device or the process's limit has in all
	Planned            graph.Memory   // of the whole program
	Largest            []graph.Buffer // of its buffers
	Err                error          // of the allocation; nil if it was not tried
}

// NewOutOfMemory is the error of a program with plan m, whose values take as many bytes as size says.
func NewOutOfMemory(p *graph.Program, m graph.Memory, size func(*graph.Value) int64) *OutOfMemory {
	const most = 5
	return &OutOfMemory{Asked: m.Peak(), Planned: m, Largest: graph.Largest(p, size, most)}
}

// Error tells in MiB what was asked for, what there is, what the memory is for and which buffers are the largest.
func (e *OutOfMemory) Error() string {
	m := e.Planned
	var b strings.Builder
	fmt.Fprintf(&b, "out of memory: %s asked for, %s of %s are free\n", mib(e.Asked), mib(e.Free), mib(e.Total))
	fmt.Fprintf(&b, "planned: %s, of that activations %s, parameters and other state %s, workspace %s\n",
		mib(m.Peak()), mib(m.Arena), mib(m.Persistent), mib(m.Scratch))
	b.WriteString("largest buffers:")
	for i, x := range e.Largest {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s %s %s", x.Name, x.Shape, mib(x.Bytes))
	}
	return b.String()
}

// Unwrap is the allocation's error.
func (e *OutOfMemory) Unwrap() error { return e.Err }

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
