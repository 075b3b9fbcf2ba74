// Package backend is the small contract between a program (internal/graph) and what runs it:
// the float64 oracle (internal/ref), the CPU (internal/cpu) and the GPU (internal/cuda).
//
//	exe, err := b.Compile(program)
//	defer exe.Close()
//	exe.Write(program.Image, images)
//	err = exe.Run(graph.Step)
//	loss, err := exe.Read(program.Loss)
package backend

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"

	"senet/internal/graph"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrNoDevice: the device asked for is not there.
	ErrNoDevice = errors.New("no such device")
	// ErrUnsupported: the backend has no such op, element type or attribute.
	ErrUnsupported = errors.New("unsupported")
	// ErrDeviceLost: the device failed and the process must be started anew; nothing read from it since is to be trusted.
	ErrDeviceLost = errors.New("device lost")
	// ErrRankLost: another rank of the job is gone, so that no step can be taken any more.
	ErrRankLost = errors.New("a rank of the job is lost")
)

// Backend compiles programs for one device. Its methods may be called from any goroutine.
type Backend interface {
	// Name is "ref", "cpu" or "cuda:N".
	Name() string
	// Describe names the device and library versions, e.g. "cpu: AMD EPYC, AVX-512, 2 threads, oneDNN 3.2.0".
	Describe() string
	// Compile places the program's values, allocates all memory a step needs and prepares every
	// primitive, so that Run allocates nothing. Persistent values start at zero.
	Compile(p *graph.Program) (Executable, error)
	// Close releases the device. All executables must have been closed.
	Close() error
}

// Executable is a compiled program with its memory. One goroutine at a time may use it.
type Executable interface {
	// Write copies t, in the value's logical shape and type, to an input, parameter or state. Once Run(Step) has returned,
	// inputs that phase Update does not read, such as the image, may be written for the next step: that does not disturb
	// the one that may still be running.
	Write(v *graph.Value, t *tensor.Dense) error
	// Read waits for what runs and copies a parameter, state or one of Program.Outputs to a new host tensor in its logical shape.
	Read(v *graph.Value) (*tensor.Dense, error)
	// Run executes the nodes of one phase after all that was run before. The ranks of a job run the same phases in the same order. It may return before the device is done; an error
	// of the device then comes from a later call, at the latest from the next Read.
	Run(ph graph.Phase) error
	// Memory tells where the bytes went.
	Memory() graph.Memory
	// Close frees the memory. The executable must not be used afterwards.
	Close() error
}

// Collective is what joins the ranks of a job for a backend whose values are in host memory. Every rank makes the same calls
// in the same order, and may start further sums before it waits for the first. One goroutine at a time may use it.
type Collective interface {
	// Ranks is how many processes share the job.
	Ranks() int
	// Sum starts to replace each element of x, which is as long on every rank, by its sum over all ranks: the same bits on each.
	// Until wait has returned nothing else may touch x. An error means that the job has lost a rank.
	Sum(x []float32) (wait func() error)
}

// Fingerprinter is an executable whose ranks sum values as they lie in memory: all must have the same fingerprint, or the sums are of
// elements that do not belong together.
type Fingerprinter interface {
	// Fingerprint is a short digest of what is summed and of its order in memory, which may depend on the processor.
	Fingerprint() string
}

// CheckRanks verifies that a backend that joins as many ranks, 1 for one that is alone, can run every node of p.
func CheckRanks(backend string, p *graph.Program, ranks int) error {
	for _, n := range p.Nodes() {
		switch want := n.Ranks(); {
		case want == 1 || want == ranks:
		case ranks == 1:
			return fmt.Errorf("%s: %s %q needs %d ranks, but nothing joins this process to others: %w", backend, n.Op, n.Name, want, ErrUnsupported)
		default:
			return fmt.Errorf("%s: %s %q is for %d ranks, but the job has %d: %w", backend, n.Op, n.Name, want, ranks, ErrUnsupported)
		}
	}
	return nil
}

// Initialize draws every parameter and state of p from seed.
func Initialize(exe Executable, p *graph.Program, seed uint64) error {
	for _, v := range p.Persistent() {
		if err := exe.Write(v, tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(v.Fill(seed)))); err != nil {
			return err
		}
	}
	return nil
}

// CheckHost verifies that t can be written to v.
func CheckHost(v *graph.Value, t *tensor.Dense) error {
	if v.Role == graph.Activation {
		return fmt.Errorf("write %q: an activation cannot be written from the host", v.Name)
	}
	if !graph.Shape(t.Shape()).Equal(v.Shape) {
		return fmt.Errorf("write %q: want shape %s, have %s", v.Name, v.Shape, graph.Shape(t.Shape()))
	}
	if t.Dtype() != HostType(v.DType) {
		return fmt.Errorf("write %q: want %s, have %s", v.Name, v.DType, t.Dtype())
	}
	return nil
}

// HostType is the host tensor's element type for d.
func HostType(d graph.DType) tensor.Dtype {
	switch d {
	case graph.Int32:
		return tensor.Int32
	case graph.Uint8:
		return tensor.Uint8
	}
	return tensor.Float32
}

// Unsupported is the error for a node the named backend cannot run.
func Unsupported(backend string, n *graph.Node) error {
	shape := "nothing"
	if len(n.Out) > 0 && n.Out[0] != nil {
		shape = n.Out[0].Shape.String()
	}
	return fmt.Errorf("%s: %s %q to %s: %w", backend, n.Op, n.Name, shape, ErrUnsupported)
}
