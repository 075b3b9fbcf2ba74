package data

import (
	"image"
	"math"
	"math/rand/v2"
)

// The aspect ratios, width to height, of random crops, and how often one is drawn before the centre is taken.
const (
	minAspect  = 3.0 / 4
	maxAspect  = 4.0 / 3
	cropsTried = 10
)

// randomCrop draws the part of an image of w by h pixels that a training sample shows, as torchvision's RandomResizedCrop:
// its share of the area is uniform in [minScale, 1], the logarithm of its aspect ratio uniform.
func randomCrop(r *rand.Rand, w, h int, minScale float64) image.Rectangle {
	area := float64(w) * float64(h)
	low, high := math.Log(minAspect), math.Log(maxAspect)
	for range cropsTried {
		target := area * (minScale + (1-minScale)*r.Float64())
		aspect := math.Exp(low + (high-low)*r.Float64())
		cw := int(math.RoundToEven(math.Sqrt(target * aspect)))
		ch := int(math.RoundToEven(math.Sqrt(target / aspect)))
		if cw > 0 && cw <= w && ch > 0 && ch <= h {
			return rectangle(r.IntN(w-cw+1), r.IntN(h-ch+1), cw, ch)
		}
	}
	cw, ch := w, h
	switch aspect := float64(w) / float64(h); {
	case aspect < minAspect:
		ch = int(math.RoundToEven(float64(w) / minAspect))
	case aspect > maxAspect:
		cw = int(math.RoundToEven(float64(h) * maxAspect))
	}
	return rectangle((w-cw)/2, (h-ch)/2, cw, ch)
}

func rectangle(x, y, w, h int) image.Rectangle { return image.Rect(x, y, x+w, y+h) }
