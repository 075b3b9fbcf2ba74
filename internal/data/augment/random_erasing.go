package augment

import (
	"math"
	"math/rand/v2"
)

// The rectangle's share of the image and its height over its width: timm's, of Zhong et al. 2017.
const (
	minErased, maxErased = 0.02, 1.0 / 3
	minAspect, maxAspect = 0.3, 1 / 0.3
	eraseTries           = 10 // until a rectangle fits
)

// Box is rows Y0 to Y1-1 of columns X0 to X1-1.
type Box struct {
	Y0, X0, Y1, X1 int
}

// erase draws whether and where, and then fills.
func (p *Pipeline) erase(r *rand.Rand, m picture) {
	e := p.o.RandomErasing
	if e.Probability == 0 {
		return
	}
	b := e.draw(r, m.h, m.w)
	for y := b.Y0; y < b.Y1; y++ {
		row := m.pixels[(y*m.w+b.X0)*m.c : (y*m.w+b.X1)*m.c]
		for i := 0; i < len(row); i += m.c {
			if e.Mode == "pixel" {
				for k := range m.c {
					row[i+k] = level(p.o.Mean[k] + r.NormFloat64()*p.o.Std[k])
				}
			} else {
				copy(row[i:i+m.c], p.mean[:])
			}
		}
	}
}

// draw returns an empty box for an image that is left as it is.
func (e Erasing) draw(r *rand.Rand, h, w int) Box {
	if r.Float64() >= e.Probability {
		return Box{}
	}
	for range eraseTries {
		share := minErased + (maxErased-minErased)*r.Float64()
		aspect := math.Exp(math.Log(minAspect) + (math.Log(maxAspect)-math.Log(minAspect))*r.Float64())
		if bh, bw := erased(share, aspect, h, w); bh < h && bw < w {
			y, x := r.IntN(h-bh+1), r.IntN(w-bw+1)
			return Box{y, x, y + bh, x + bw}
		}
	}
	return Box{}
}

// erased is the size of a rectangle of that share and aspect of an image of h by w pixels.
func erased(share, aspect float64, h, w int) (bh, bw int) {
	area := share * float64(h*w)
	return int(math.RoundToEven(math.Sqrt(area * aspect))), int(math.RoundToEven(math.Sqrt(area / aspect)))
}

// level is that of x in [0, 1], or the nearest there is.
func level(x float64) uint8 { return uint8(math.Round(255 * min(max(x, 0), 1))) }
