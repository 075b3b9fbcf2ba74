package graph

import (
	"math"
	"math/rand/v2"
)

// Init says how a parameter or state starts.
type Init struct {
	Kind  InitKind
	Value float32 // Constant: the value; Uniform: the bound, in [-Value, Value)
}

// InitKind is the family of an initial distribution.
type InitKind uint8

// Initial distributions.
const (
	Constant     InitKind = iota
	KaimingFan            // normal, std = sqrt(2 / fan_out), fan_out = K*R*S/groups; He et al. 2015, as torchvision and timm
	UniformRange          // uniform in [-Value, Value)
)

// Zeros, Ones and the other constructors name the usual starts.
func Zeros() Init { return Init{} }

// Ones starts a batch norm's gamma or running variance.
func Ones() Init { return Init{Value: 1} }

// Kaiming starts a convolution's weight.
func Kaiming() Init { return Init{Kind: KaimingFan} }

// Uniform starts a fully connected layer: PyTorch's default bound is 1/sqrt(fan_in)
// for weight and bias alike (torch.nn.Linear).
func Uniform(bound float64) Init { return Init{Kind: UniformRange, Value: float32(bound)} }

// Fill draws the starting values of v in logical order from a generator that depends
// only on seed and the value's name, so adding a layer changes no other layer's start.
func (v *Value) Fill(seed uint64) []float32 {
	x := make([]float32, v.Shape.Elems())
	switch v.Init.Kind {
	case Constant:
		for i := range x {
			x[i] = v.Init.Value
		}
	case KaimingFan:
		r := v.generator(seed)
		fan := v.Shape[0] * v.Shape[2:].Elems() // groups: fan_out counts all K, as torch.nn.init does
		std := math.Sqrt(2 / float64(fan))
		for i := range x {
			x[i] = float32(r.NormFloat64() * std)
		}
	case UniformRange:
		r := v.generator(seed)
		for i := range x {
			x[i] = float32((2*r.Float64() - 1) * float64(v.Init.Value))
		}
	}
	return x
}

func (v *Value) generator(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, nameHash(v.Name)))
}

// nameHash is FNV-1a.
func nameHash(name string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}
