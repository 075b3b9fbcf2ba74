package augment

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// MixOptions are mixup and CutMix of whole batches as in timm's batch mode; without either alpha batches stay as they are.
type MixOptions struct {
	MixupAlpha        float64 // mixup_alpha: of the Beta(alpha, alpha) that the share is drawn from; 0 switches mixup off
	CutmixAlpha       float64 // cutmix_alpha: likewise for CutMix
	Probability       float64 // probability: that a batch is mixed, usually 1
	SwitchProbability float64 // switch_probability: of CutMix where both are on, usually 0.5
}

// Mixer draws what is done to batches. Any number of goroutines may use it at once.
type Mixer struct{ o MixOptions }

// The range of an alpha is far wider than any recipe's: shares are nearly all 0 or 1 at one end, close to a half at the other.
const minAlpha, maxAlpha = 1e-3, 1e3

// alpha is a bound that lets 0 pass.
func alpha(key string, value float64) bounded {
	if value == 0 {
		return bounded{key, value, 0, 0}
	}
	return bounded{key, value, minAlpha, maxAlpha}
}

// NewMixer makes the mixer of o. An error names the key of the option that makes no sense.
func NewMixer(o MixOptions) (*Mixer, error) {
	err := checkRanges([]bounded{
		alpha("mixup_alpha", o.MixupAlpha),
		alpha("cutmix_alpha", o.CutmixAlpha),
		{"probability", o.Probability, 0, 1},
		{"switch_probability", o.SwitchProbability, 0, 1},
	})
	if err != nil {
		return nil, fmt.Errorf("mix: %w", err)
	}
	return &Mixer{o}, nil
}

// Mixing is what is done to a batch: row i is mixed with row n-1-i of its n rows, so that the middle row of an odd
// number keeps its pixels.
type Mixing struct {
	Share float64 // of a row's own pixels and label, in [0, 1]; 1 leaves the batch as it is
	Box   Box     // what CutMix takes from the other row; empty for mixup
}

// Draw is a pure function of what r yields and of the size of the images, h by w pixels.
func (m *Mixer) Draw(r *rand.Rand, h, w int) Mixing {
	mixed, cut := r.Float64() < m.o.Probability, r.Float64() < m.o.SwitchProbability
	switch {
	case !mixed || m.o.MixupAlpha == 0 && m.o.CutmixAlpha == 0:
		return Mixing{Share: 1}
	case m.o.MixupAlpha == 0 || cut && m.o.CutmixAlpha > 0:
		share := beta(r, m.o.CutmixAlpha)
		return cutMixing(share, r.IntN(h), r.IntN(w), h, w)
	}
	return Mixing{Share: beta(r, m.o.MixupAlpha)}
}

// cutMixing is the box of the image's aspect and about 1-share of its area whose middle is pixel (cy, cx). What lies
// outside the image is cut off, and the share corrected for it.
func cutMixing(share float64, cy, cx, h, w int) Mixing {
	side := math.Sqrt(1 - share)
	bh, bw := int(float64(h)*side), int(float64(w)*side)
	b := Box{max(cy-bh/2, 0), max(cx-bw/2, 0), min(cy+(bh+1)/2, h), min(cx+(bw+1)/2, w)}
	return Mixing{1 - float64((b.Y1-b.Y0)*(b.X1-b.X0))/float64(h*w), b}
}

// Images mixes a batch (N, H, W, C) in place. Mixup rounds to whole levels, so a pixel is at most half a level off.
func (m Mixing) Images(images []uint8, n, h, w, c int) {
	size := h * w * c
	for i := range n / 2 {
		m.Pair(images[i*size:(i+1)*size], images[(n-1-i)*size:(n-i)*size], w, c)
	}
}

// Pair mixes rows i and n-1-i of a batch, both (H, W, C), in place. Different pairs may be mixed at once.
func (m Mixing) Pair(a, b []uint8, w, c int) {
	switch {
	case m.Share == 1:
	case m.Box != Box{}:
		for y := m.Box.Y0; y < m.Box.Y1; y++ {
			from, to := (y*w+m.Box.X0)*c, (y*w+m.Box.X1)*c
			swap(a[from:to], b[from:to])
		}
	default:
		m.blend(a, b)
	}
}

func swap(a, b []uint8) {
	b = b[:len(a)]
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// blend computes in float32 and rounds halves to even, as timm does on the CPU.
func (m Mixing) blend(a, b []uint8) {
	var own, other [256]float32
	for x := range own {
		own[x], other[x] = float32(x)*float32(m.Share), float32(x)*float32(1-m.Share)
	}
	b = b[:len(a)]
	for i, x := range a {
		y := b[i]
		a[i], b[i] = round(own[x]+other[y]), round(own[y]+other[x])
	}
}

// round takes 0 to 255. Added to 2^23, a float32 has no bits left for a fraction.
func round(v float32) uint8 { return uint8(math.Float32bits(v + 1<<23)) }

// Labels writes, for the n rows of a batch, the label of the row that each is mixed with and the weight of the row's own label:
// the loss of row i is weights[i] times that of labels[i] plus 1-weights[i] times that of others[i].
// All three have n elements.
func (m Mixing) Labels(labels, others []int32, weights []float32) {
	n := len(labels)
	for i := range labels {
		others[i], weights[i] = labels[n-1-i], float32(m.Share)
	}
}

// beta draws from Beta(alpha, alpha), by logarithms of gamma variates: those of a small alpha are too small for a float64.
func beta(r *rand.Rand, alpha float64) float64 {
	a, b := logGamma(r, alpha), logGamma(r, alpha)
	return 1 / (1 + math.Exp(b-a))
}

// logGamma is the logarithm of a draw from Gamma(alpha, 1): Marsaglia and Tsang 2000, with their boost for alpha below 1.
func logGamma(r *rand.Rand, alpha float64) float64 {
	boost := 0.0
	if alpha < 1 {
		boost = math.Log(1-r.Float64()) / alpha
		alpha++
	}
	d := alpha - 1.0/3
	for {
		x := r.NormFloat64()
		v := 1 + x/math.Sqrt(9*d)
		if v <= 0 {
			continue
		}
		v *= v * v
		if math.Log(1-r.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return math.Log(d) + math.Log(v) + boost
		}
	}
}
