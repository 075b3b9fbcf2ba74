// Package kernels has the CUDA kernels, one .cu file an op, and the pure-Go plans that launch them: which
// kernels a node of a program needs, with what grid, workspace and arguments. It touches no device; internal/cuda
// resolves the arguments and launches. A file ops.cu, its plan ops.go and the op in internal/ref share one stem.
//
//	planner := kernels.NewPlanner(program, kernels.BFloat16, kernels.Device{Compute: 90, SMs: 132})
//	plan, err := planner.Plan(node)
//	for _, l := range plan.Launches { ... }
package kernels

import (
	"fmt"

	"senet/internal/graph"
)

// Precision is how feature maps are stored and convolutions multiply. Parameters, statistics, gates, the head and
// the update are float32 in each.
type Precision uint8

// Precisions.
const (
	Float32  Precision = iota // float32 maps, float32 products
	TF32                      // float32 maps, products of 10-bit mantissas on the tensor cores
	BFloat16                  // bfloat16 maps and products, float32 sums
	Float16                   // float16 maps and products, float32 sums; training needs a loss scale
)

var precisionNames = [...]string{"float32", "tf32", "bf16", "fp16"}

func (p Precision) String() string { return precisionNames[p] }

// ParsePrecision is the inverse of String.
func ParsePrecision(name string) (Precision, error) {
	for i, n := range precisionNames {
		if n == name {
			return Precision(i), nil
		}
	}
	return 0, fmt.Errorf("precision %q: want float32, tf32, bf16 or fp16", name)
}

// Type is how an element is stored on the device.
type Type uint8

// Types. Their names end the names of kernels, e.g. relu_bf16x8.
const (
	F32 Type = iota
	BF16
	F16
	I32
	U8
)

func (t Type) String() string { return [...]string{"f32", "bf16", "f16", "i32", "u8"}[t] }

// Size is the number of bytes of an element.
func (t Type) Size() int { return [...]int{4, 2, 2, 4, 1}[t] }

// Map is the type of feature maps.
func (p Precision) Map() Type { return [...]Type{F32, F32, BF16, F16}[p] }

// Device is what plans depend on beside the program.
type Device struct {
	Compute int // compute capability, major*10 + minor, e.g. 90
	SMs     int // multiprocessors: plans split work until each has some
}

// Planner turns the nodes of one program into launches.
type Planner struct {
	Device
	Precision Precision
	weights   map[*graph.Value]bool // of convolutions and fully connected layers, their gradients and momenta
	copied    map[*graph.Value]bool // weights that a convolution reads in the type of maps
	images    map[*graph.Value]bool // pixels as the host has them, (N, H, W, C)
}

// NewPlanner looks up how p uses its values.
func NewPlanner(p *graph.Program, precision Precision, d Device) *Planner {
	pl := &Planner{Device: d, Precision: precision, weights: map[*graph.Value]bool{}, copied: map[*graph.Value]bool{}, images: map[*graph.Value]bool{}}
	for _, n := range p.Nodes() {
		for _, v := range weightsOf(n) {
			pl.weights[v] = true
		}
		if (n.Op == graph.Conv || n.Op == graph.ConvGradInput) && precision.Map() != F32 {
			pl.copied[n.In[1]] = true
		}
		if n.Op == graph.Normalize {
			pl.images[n.In[0]] = true
		}
	}
	for _, v := range p.Values {
		if v.Role == graph.Param {
			pl.weights[v] = true
		}
	}
	return pl
}

// weightsOf lists the operands of n that are weights or belong to one: float32 in every precision.
func weightsOf(n *graph.Node) []*graph.Value {
	switch n.Op {
	case graph.Conv, graph.ConvGradInput, graph.EarlySqueeze, graph.Linear:
		return n.In[1:2]
	case graph.ConvGradWeight:
		return n.Out[:1]
	case graph.LinearGrad:
		return []*graph.Value{n.In[2], n.Out[1]}
	case graph.FoldBN:
		return []*graph.Value{n.In[0], n.Out[0]}
	case graph.FoldSqueeze:
		return []*graph.Value{n.In[0], n.In[5], n.Out[0]}
	case graph.Excitation:
		return n.In[1:]
	case graph.BNSEAddReLU:
		return n.In[graph.TailW1 : graph.TailB2+1]
	case graph.BNSEAddReLUGrad:
		weights := append([]*graph.Value(nil), n.In[graph.TailGradIn+graph.TailW1:graph.TailGradIn+graph.TailB2+1]...)
		return append(weights, n.Out[graph.TailW1:graph.TailB2+1]...)
	case graph.SGD, graph.AdamW, graph.LAMB, graph.GlobalNorm, graph.GradSum, graph.Clear, graph.EMA, graph.AllReduce:
		return append(append([]*graph.Value(nil), n.In...), n.Out...)
	}
	return nil
}

// Type is how v is stored: feature maps in the precision's type, all other floats in float32.
func (p *Planner) Type(v *graph.Value) Type {
	switch {
	case v.DType == graph.Int32:
		return I32
	case v.DType == graph.Uint8:
		return U8
	case len(v.Shape) == 4 && !p.weights[v]:
		return p.Precision.Map()
	}
	return F32
}

// Bytes is what v takes.
func (p *Planner) Bytes(v *graph.Value) int64 {
	return int64(v.Shape.Elems()) * int64(p.Type(v).Size())
}

// ChannelsLast reports whether the memory order of v is that of (N, H, W, C), where its shape says (N, C, H, W):
// so lie feature maps, and weights (K, C, R, S) as (K, R, S, C). All else lies as its shape says, images too, whose
// shape is (N, H, W, C).
func (p *Planner) ChannelsLast(v *graph.Value) bool {
	return len(v.Shape) == 4 && !p.images[v]
}

// Copied reports whether the weight v has a second copy in the type of maps, which convolutions read. Whatever
// writes v (the host, fold_bn, sgd) writes the copy too.
func (p *Planner) Copied(v *graph.Value) bool { return p.copied[v] }

// Copy gives v such a copy.
func (p *Planner) Copy(v *graph.Value) { p.copied[v] = true }

// Plan is how one node runs: launches in order, and the bytes of workspace that they share. The workspace holds
// anything at the start and need not survive the node. What an all_reduce launches from its Collective on may run beside
// later nodes, so it has memory of its Own, bytes that no other node of its phase uses.
type Plan struct {
	Launches []Launch
	Scratch  int64
	Own      int64
}

// Launch is one kernel launch, or where there is a Collective what the ranks do in its place.
type Launch struct {
	Collective  *Collective // the fields below are empty then, save Bytes
	Module      string      // file stem: the kernel lies in <Module>.cu
	Kernel      string      // entry point, e.g. "relu_bf16x8"
	Grid, Block Dim
	Shared      int // bytes of dynamic shared memory
	Args        []Arg
	Bytes       int64 // that it moves from and to device memory at the least, for achieved GB/s
}

// Collective takes Count elements of Type, F32 or BF16, at From from every rank. To gets their sums, or with Gather those of all
// ranks, one rank behind the other. Where Last is not nil, the elements are all from From to the end of that value.
type Collective struct {
	Gather   bool
	Type     Type
	From, To Arg
	Count    int64
	Last     *graph.Value
}

// Dim is a number of blocks or threads; 0 counts as 1.
type Dim struct{ X, Y, Z int }

// Arg is one argument of a kernel: the address of a value, a place in the workspace, or a number.
type Arg struct {
	Kind   ArgKind
	Value  *graph.Value
	Offset int64  // into the workspace or the node's own memory
	Bits   uint64 // of a number, the low Size bytes
	Size   int    // bytes of the argument: 4 or 8
	Table  []Arg
}

// ArgKind tells which fields of an Arg count.
type ArgKind uint8

// Kinds of arguments.
const (
	ArgNumber  ArgKind = iota // Bits
	ArgValue                  // address of Value; 0 for nil
	ArgCopy                   // address of Value's copy in the type of maps, or of Value itself where it has none
	ArgScratch                // address of byte Offset of the workspace
	ArgOwn                    // address of byte Offset of the node's own memory
	ArgTable                  // address of a constant array on the device, 8 bytes an entry of Table
)

// Plan plans n, or says that it cannot run.
func (p *Planner) Plan(n *graph.Node) (Plan, error) {
	f, ok := plans[n.Op]
	if !ok {
		return Plan{}, fmt.Errorf("%s %q has no kernel", n.Op, n.Name)
	}
	plan, err := f(p, n)
	if err != nil {
		return Plan{}, fmt.Errorf("%s %q: %w", n.Op, n.Name, err)
	}
	for _, l := range plan.Launches {
		if max(l.Grid.Y, l.Grid.Z) > gridLimit {
			return Plan{}, fmt.Errorf("%s %q: the batch is too large for kernel %s, which has at most %d blocks on top of each other", n.Op, n.Name, l.Kernel, gridLimit)
		}
	}
	return plan, nil
}

// gridLimit is the greatest Y and Z of a grid on every device.
const gridLimit = 65535
