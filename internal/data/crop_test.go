package data

import (
	"fmt"
	"image"
	"math"
	"testing"
)

// TestCropsNeverChange: they are part of what a seed means.
func TestCropsNeverChange(t *testing.T) {
	s := newStream()
	got := ""
	for _, k := range []struct {
		seed         uint64
		epoch, index int
	}{{0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {42, 17, 1281166}} {
		s.seek(k.seed, k.epoch, k.index, forCrop)
		got += fmt.Sprint(randomCrop(s.rand, 500, 375, 0.08))
	}
	if want := "(61,44)-(350,362)(183,13)-(421,275)(65,231)-(190,370)(46,74)-(253,349)"; got != want {
		t.Errorf("crops are %s, want %s", got, want)
	}
}

func TestCropsLieWithinTheImageAndTheirAreasAreUniform(t *testing.T) {
	s := newStream()
	const n, w, h = 20000, 400, 400
	var count, sum, logs float64
	var corners image.Point
	for i := range n {
		s.seek(1, 0, i, forCrop)
		r := randomCrop(s.rand, w, h, 0.08)
		if r.Empty() || !r.In(image.Rect(0, 0, w, h)) {
			t.Fatalf("crop %v", r)
		}
		share, aspect := float64(r.Dx()*r.Dy())/(w*h), float64(r.Dx())/float64(r.Dy())
		if share < 0.078 || share > 1 || aspect < 0.73 || aspect > 1.37 {
			t.Fatalf("crop %v shows %v at an aspect of %v", r, share, aspect)
		}
		if share < 0.7 { // larger ones may not fit, and are drawn again
			count++
			sum += share
			logs += math.Log(aspect)
			corners = corners.Add(image.Pt(r.Min.X-(w-r.Max.X), r.Min.Y-(h-r.Max.Y)))
		}
	}
	if mean := sum / count; !(math.Abs(mean-0.39) < 0.006) { // of [0.08, 0.7]
		t.Errorf("mean share is %v, want 0.39", mean)
	}
	if mean := logs / count; !(math.Abs(mean) < 0.006) {
		t.Errorf("mean logarithm of the aspect is %v, want 0", mean)
	}
	if x, y := float64(corners.X)/count, float64(corners.Y)/count; !(math.Abs(x) < 4 && math.Abs(y) < 4) {
		t.Errorf("crops are off the centre by %v, %v", x, y)
	}
}

// TestImagesThatNoCropFitsShowTheirCentre: as torchvision, at the nearest aspect allowed.
func TestImagesThatNoCropFitsShowTheirCentre(t *testing.T) {
	s := newStream()
	for _, c := range []struct {
		w, h int
		want image.Rectangle
	}{
		{1000, 10, image.Rect(493, 0, 506, 10)},
		{10, 1000, image.Rect(0, 493, 10, 506)},
		{1, 1, image.Rect(0, 0, 1, 1)},
	} {
		for i := range 100 {
			s.seek(0, 0, i, forCrop)
			if got := randomCrop(s.rand, c.w, c.h, 0.9); got != c.want {
				t.Errorf("%dx%d: crop %v, want %v", c.w, c.h, got, c.want)
			}
		}
	}
}
