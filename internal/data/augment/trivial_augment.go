package augment

import (
	"math"
	"math/rand/v2"
)

// wideBins is how many strengths an op of TrivialAugmentWide has.
const wideBins = 31

// wideOp is one of TrivialAugmentWide's choices; one without strengths has a single value.
type wideOp struct {
	kind   kind
	signed bool
	values []float64
}

// wideOps are torchvision's choices, in its order. The values of the signed blends are added to a factor of 1.
func wideOps() []wideOp {
	bits := make([]float64, wideBins)
	for i := range bits {
		bits[i] = 8 - math.RoundToEven(float64(i)/(wideBins-1)*6)
	}
	return []wideOp{
		{identity, false, []float64{0}},
		{shearX, true, bins(0, 0.99)},
		{shearY, true, bins(0, 0.99)},
		{translateX, true, bins(0, 32)}, // pixels, whatever the image's size
		{translateY, true, bins(0, 32)},
		{rotate, true, bins(0, 135)},
		{brightness, true, bins(0, 0.99)},
		{color, true, bins(0, 0.99)},
		{contrast, true, bins(0, 0.99)},
		{sharpness, true, bins(0, 0.99)},
		{posterize, false, bits},
		{solarize, false, bins(255, 0)},
		{autoContrast, false, []float64{0}},
		{equalize, false, []float64{0}},
	}
}

// bins are evenly spaced from first to last, and like torchvision's in float32. There the last bit depends on the
// processor, which can make the translation of 16 pixels one of 15.
func bins(first, last float64) []float64 {
	list := make([]float64, wideBins)
	for i := range list {
		list[i] = float64(float32(first + float64((last-first)*float64(i))/(wideBins-1)))
	}
	return list
}

// drawWide takes the same count of numbers from r whichever op it is.
func (p *Pipeline) drawWide(r *rand.Rand) op {
	choice := p.wide[r.IntN(len(p.wide))]
	bin, negative, f := r.IntN(wideBins), r.Uint64()&1 == 1, p.filter(r)
	return op{choice.kind, choice.at(bin, negative), f}
}

// at is the value of the op at a bin, which does not matter where there is a single one.
func (o wideOp) at(bin int, negative bool) float64 {
	v := o.values[min(bin, len(o.values)-1)]
	if o.signed && negative {
		v = -v
	}
	switch o.kind {
	case brightness, color, contrast, sharpness:
		return 1 + v
	case translateX, translateY:
		return -math.Trunc(v) // torchvision moves the image, an op the point that it reads
	}
	return v
}
