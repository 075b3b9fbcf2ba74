package picture

import "math"

// Weights are integers of so many fractional bits, the precision of Pillow's. resample.h says why they are split, and where.
const (
	fractionBits = 22
	splitBits    = 15
)

// filter is a kernel of a resize: the weight at a distance, which is in inputs, or in outputs when shrinking.
type filter struct {
	support float64 // distance from which the weight is 0
	weight  func(float64) float64
}

var (
	bilinear = filter{1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }}
	bicubic  = filter{2, func(x float64) float64 { // Keys' cubic convolution with a = -1/2
		const a = -0.5
		switch x = math.Abs(x); {
		case x < 1:
			return ((a+2)*x-(a+3))*x*x + 1
		case x < 2:
			return (((x-5)*x+8)*x - 4) * a
		}
		return 0
	}}
)

// axis is one direction of a view. plan says which inputs it reads, fill computes the weights.
type axis struct {
	filter
	origin int     // the input where the box starts, rounded down; sizes below count from it
	inputs int     // in the box
	start  float64 // where exactly the box starts, below 1
	scale  float64 // inputs for an output
	low    int     // of all outputs wanted, the first
	n      int     // and how many

	from, to int // inputs that are read, counted from the picture's edge

	taps    int
	first   []int32 // (n), counted from `from`
	weights []int16 // (n, 2, taps)
}

// plan prepares the outputs low to high-1 of so many that a box becomes. The box is from boxLow to boxHigh in a picture that
// is then reduced.
func (a *axis) plan(f filter, boxLow, boxHigh, reduce, outputs, low, high int) {
	a.filter = f
	a.origin = boxLow / reduce
	a.inputs = (boxHigh+reduce-1)/reduce - a.origin
	a.start = float64(boxLow)/float64(reduce) - float64(a.origin)
	a.scale = float64(boxHigh-boxLow) / float64(reduce) / float64(outputs)
	a.low, a.n = low, high-low
	first, _ := a.reach(0)
	_, last := a.reach(a.n - 1)
	a.from, a.to = a.origin+first, a.origin+last
}

// widened is how far the filter is stretched for shrinking.
func (a *axis) widened() float64 { return max(1, a.scale) }

func (a *axis) centre(i int) float64 { return a.start + (float64(a.low+i)+0.5)*a.scale }

// reach is the range of inputs of the box that output i weighs.
func (a *axis) reach(i int) (first, end int) {
	centre, support := a.centre(i), a.support*a.widened()
	return max(0, int(centre-support+0.5)), min(a.inputs, int(centre+support+0.5))
}

// fill computes the weights. The kernel takes taps in steps of so many; those of an output stay among the inputs that are
// read, but for the last step where there are fewer than it takes.
func (a *axis) fill(step int) {
	a.taps = 0
	for i := range a.n {
		first, end := a.reach(i)
		a.taps = max(a.taps, end-first)
	}
	a.taps = (a.taps + step - 1) / step * step
	a.first = grow(a.first, a.n)
	a.weights = grow(a.weights, a.n*2*a.taps)
	clear(a.weights)
	narrow := 1 / a.widened()
	for i := range a.n {
		first, end := a.reach(i)
		centre := a.centre(i)
		sum := 0.0
		for k := first; k < end; k++ {
			sum += a.weight((float64(k) - centre + 0.5) * narrow)
		}
		start := max(a.from, min(a.origin+first, a.to-a.taps))
		a.first[i] = int32(start - a.from)
		high := a.weights[i*2*a.taps : (i*2+1)*a.taps]
		low := a.weights[(i*2+1)*a.taps : (i*2+2)*a.taps]
		for k := first; k < end; k++ {
			w := int(math.Round(a.weight((float64(k)-centre+0.5)*narrow) / sum * (1 << fractionBits)))
			at := a.origin + k - start
			high[at], low[at] = int16(w>>splitBits), int16(w&(1<<splitBits-1))
		}
	}
}

// grow is s with n elements, whatever they are.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
