package augment

import "math/rand/v2"

// maxMagnitude is where RandAugment's scale of magnitudes ends.
const maxMagnitude = 10

// randOp is one of RandAugment's choices. Its value follows from the level, which is the magnitude over maxMagnitude; that of a signed one is
// drawn from both sides of 0 alike.
type randOp struct {
	kind   kind
	signed bool
	value  func(level float64) float64
}

// randOps are timm's choices, in its order. Without increasing some do less at a greater magnitude.
func randOps(increasing bool) []randOp {
	none := func(float64) float64 { return 0 }
	times := func(most float64) func(float64) float64 {
		return func(level float64) float64 { return level * most }
	}
	ops := []randOp{
		{autoContrast, false, none},
		{equalize, false, none},
		{invert, false, none},
		{rotate, true, times(30)},
		{posterize, false, func(level float64) float64 { return float64(int(level * 4)) }},
		{solarize, false, func(level float64) float64 { return float64(int(level * 256)) }},
		{solarizeAdd, false, func(level float64) float64 { return float64(int(level * 110)) }},
		{color, false, factor},
		{contrast, false, factor},
		{brightness, false, factor},
		{sharpness, false, factor},
		{shearX, true, times(0.3)},
		{shearY, true, times(0.3)},
		{translateX, true, times(0.45)}, // of the width
		{translateY, true, times(0.45)}, // of the height
	}
	if !increasing {
		return ops
	}
	for i, o := range ops {
		switch o.kind {
		case posterize:
			ops[i].value = func(level float64) float64 { return 4 - o.value(level) }
		case solarize:
			ops[i].value = func(level float64) float64 { return 256 - o.value(level) }
		case color, contrast, brightness, sharpness:
			ops[i].signed, ops[i].value = true, func(level float64) float64 { return max(0.1, 1+float64(level*0.9)) }
		}
	}
	return ops
}

// factor is that of a blend, from nearly all grey to nearly twice the difference from it.
func factor(level float64) float64 { return float64(level*1.8) + 0.1 }

// drawRand takes as many numbers from r for an op that is not applied as for one that is, whichever op it is.
func (p *Pipeline) drawRand(r *rand.Rand, ops []op, h, w int) []op {
	o := p.o.RandAugment
	for range o.Ops {
		choice := p.rand[r.IntN(len(p.rand))]
		applied := r.Float64() < o.Probability
		magnitude := o.Magnitude + r.NormFloat64()*o.MagnitudeStd
		level := min(max(magnitude, 0), maxMagnitude) / maxMagnitude
		negative, f := r.Uint64()&1 == 1, p.filter(r)
		if applied {
			ops = append(ops, op{choice.kind, choice.at(level, negative, h, w), f})
		}
	}
	return ops
}

// at is the value at a level for an image of h by w pixels.
func (o randOp) at(level float64, negative bool, h, w int) float64 {
	if o.signed && negative {
		level = -level
	}
	value := o.value(level)
	switch o.kind {
	case translateX:
		value *= float64(w)
	case translateY:
		value *= float64(h)
	}
	return value
}

// filter draws one where that is the option, and a number from r in any case.
func (p *Pipeline) filter(r *rand.Rand) filter {
	either := [2]filter{bilinear, bicubic}[r.Uint64()&1]
	switch p.o.Interpolation {
	case "nearest":
		return nearest
	case "bilinear":
		return bilinear
	case "bicubic":
		return bicubic
	case "random":
		return either
	}
	if p.wide != nil {
		return nearest
	}
	return either
}
