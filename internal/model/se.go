package model

import (
	"fmt"
	"slices"

	"senet/internal/graph"
)

// SE sets the SE blocks of the networks whose name says that they have them (Hu et al. 2018, sections 3 and 6).
type SE struct {
	Reduction int // hidden units = channels / Reduction; the paper's ratio is 16
	Hidden    int // if not 0: this many hidden units in every block (NVIDIA's networks use 16)
	// Divisor makes the hidden units of a ratio a multiple of it, as timm's rd_divisor. 0 is the family's own: 8 for the networks
	// that timm defines itself, 1, the plain ratio, for the legacy ones and BN-Inception.
	Divisor   int
	Stages    []int     // that have SE blocks, counted from 1; nil: all of them, empty: none
	Placement Placement // "" is Standard
	Squeeze   Squeeze   // "" is SqueezeAvg
	Gate      Gate      // "" is GateSigmoid
	NoBias    bool      // leave the biases of both layers out
}

// Placement says where a residual block has its SE block (Hu et al. 2018, figure 5).
type Placement string

// Placements. BN-Inception knows the standard one alone, after the concatenation.
const (
	Standard Placement = "standard" // at the end of the residual branch, before the addition
	Pre      Placement = "pre"      // before the residual branch
	Post     Placement = "post"     // after the addition and its ReLU
	Identity Placement = "identity" // on the shortcut, after its projection
)

// Squeeze says how a channel's map becomes one number.
type Squeeze string

// Squeezes.
const (
	SqueezeAvg Squeeze = "avg"
	SqueezeMax Squeeze = "max"
)

// Gate is the activation that ends the excitation.
type Gate string

// Gates.
const (
	GateSigmoid     Gate = "sigmoid"
	GateHardSigmoid Gate = "hard-sigmoid"
	GateTanh        Gate = "tanh"
	GateReLU        Gate = "relu"
)

// The values that the options may have, the default first.
var (
	Placements = []Placement{Standard, Pre, Post, Identity}
	Squeezes   = []Squeeze{SqueezeAvg, SqueezeMax}
	Gates      = []Gate{GateSigmoid, GateHardSigmoid, GateTanh, GateReLU}
)

// Without is s for the same network without any SE block: what the cost of SE is measured against.
func (s SE) Without() SE {
	s.Stages = []int{}
	return s
}

// withDefaults gives every option left open its default; divisor is the family's own.
func (s SE) withDefaults(divisor int) SE {
	if s.Divisor == 0 {
		s.Divisor = divisor
	}
	if s.Placement == "" {
		s.Placement = Standard
	}
	if s.Squeeze == "" {
		s.Squeeze = SqueezeAvg
	}
	if s.Gate == "" {
		s.Gate = GateSigmoid
	}
	return s
}

func (s SE) validate() error {
	switch {
	case s.Hidden <= 0 && s.Reduction <= 0:
		return fmt.Errorf("se: neither reduction nor hidden units are set")
	case s.Divisor < 0:
		return fmt.Errorf("se: divisor %d, want at least 1, or 0 for the family's own", s.Divisor)
	case s.Placement != "" && !slices.Contains(Placements, s.Placement):
		return fmt.Errorf("se: placement %q, want one of %v", s.Placement, Placements)
	case s.Squeeze != "" && !slices.Contains(Squeezes, s.Squeeze):
		return fmt.Errorf("se: squeeze %q, want one of %v", s.Squeeze, Squeezes)
	case s.Gate != "" && !slices.Contains(Gates, s.Gate):
		return fmt.Errorf("se: gate %q, want one of %v", s.Gate, Gates)
	}
	return nil
}

// HiddenUnits is the number of hidden units for a block of c channels, at least one divisor. With divisor 8 this is timm's
// SEModule (make_divisible without its lower limit): 64 channels at ratio 16 get 8, not 4.
func (s SE) HiddenUnits(c int) int {
	if s.Hidden > 0 {
		return s.Hidden
	}
	d := s.Divisor
	return max(d, (c/s.Reduction+d/2)/d*d)
}

// exciteAt is the SE block on x if the network has one at placement p of this stage, else x itself.
func (b *builder) exciteAt(p Placement, block string, x *graph.Value) *graph.Value {
	se := b.o.SE
	if !b.hasSE || se.Placement != p || se.Stages != nil && !slices.Contains(se.Stages, b.stageIndex) {
		return x
	}
	return b.excite(block+b.dialect.se, x)
}

// excite is the SE block on x (N, C, H, W): squeeze, two fully connected layers, scale. The layers are kept
// as 1x1 convolutions (R, C, 1, 1), (C, R, 1, 1), the shape in timm's files.
func (b *builder) excite(name string, x *graph.Value) *graph.Value {
	se, c := b.o.SE, x.Shape[1]
	r := se.HiddenUnits(c)
	squeeze, gate := b.g.GlobalAvgPool, b.g.Sigmoid
	if se.Squeeze == SqueezeMax {
		squeeze = b.g.GlobalMaxPool
	}
	switch se.Gate {
	case GateHardSigmoid:
		gate = b.g.HardSigmoid
	case GateTanh:
		gate = b.g.Tanh
	case GateReLU:
		gate = b.g.ReLU
	}
	z := squeeze(name+".squeeze", x)
	h := b.g.ReLU(name+".act", b.linear(name+".fc1", z, graph.Shape{r, c, 1, 1}, graph.Kaiming(), !se.NoBias))
	s := gate(name+".gate", b.linear(name+".fc2", h, graph.Shape{c, r, 1, 1}, graph.Kaiming(), !se.NoBias))
	b.gates = append(slices.DeleteFunc(b.gates, func(g StageGate) bool { return g.Stage == b.stageIndex }), StageGate{b.stageIndex, s})
	return b.g.Scale(name+".scale", x, s)
}
