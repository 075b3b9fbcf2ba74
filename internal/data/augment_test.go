package data

import (
	"fmt"
	"slices"
	"testing"
)

// TestDrawsNeverChange: checkpoints of earlier releases go on with these very numbers.
func TestDrawsNeverChange(t *testing.T) {
	s := newStream()
	a := Augment{Pad: 4, Flip: true}
	got := ""
	for _, k := range []struct {
		seed         uint64
		epoch, index int
	}{{0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {1, 0, 0}, {42, 17, 59999}, {1 << 63, 299, 1281166}} {
		s.seek(k.seed, k.epoch, k.index, forAugment)
		got += fmt.Sprint(a.draw(s))
	}
	if want := "{false 8 5}{false 3 1}{true 5 5}{true 1 6}{false 2 6}{true 3 2}"; got != want {
		t.Errorf("draws are %s, want %s", got, want)
	}
	if got, want := permutation(42, 17, 60000)[:6], []int{27175, 19345, 29316, 16662, 27577, 3794}; !slices.Equal(got, want) {
		t.Errorf("permutation starts with %v, want %v", got, want)
	}
}

func TestDrawsAreUniform(t *testing.T) {
	const n = 20000
	a := Augment{Pad: 2, Flip: true}
	counts := map[change]int{}
	s := newStream()
	for i := range n {
		s.seek(1, 0, i, forAugment)
		counts[a.draw(s)]++
	}
	if len(counts) != 50 {
		t.Fatalf("%d of 2*5*5 draws occur", len(counts))
	}
	chi2 := 0.0
	for _, c := range counts {
		d := float64(c) - n/50
		chi2 += d * d / (n / 50)
	}
	if !(chi2 < 85.4) { // 49 degrees of freedom exceed it once in 1000
		t.Errorf("chi-squared of the draws is %g", chi2)
	}
}

func TestSwitchingOneAugmentationOffLeavesTheOther(t *testing.T) {
	s := newStream()
	for i := range 50 {
		draw := func(a Augment) change {
			s.seek(1, 0, i, forAugment)
			return a.draw(s)
		}
		both, flip, pad, none := draw(Augment{Pad: 3, Flip: true}), draw(Augment{Flip: true}), draw(Augment{Pad: 3}), draw(Augment{})
		if want := (change{flip: both.flip}); flip != want {
			t.Errorf("sample %d: without padding %+v, want %+v", i, flip, want)
		}
		if want := (change{dy: both.dy, dx: both.dx}); pad != want {
			t.Errorf("sample %d: without flips %+v, want %+v", i, pad, want)
		}
		if none != (change{}) {
			t.Errorf("sample %d: with nothing on %+v", i, none)
		}
	}
}

func TestCropAndMirrorMatchPixelByPixel(t *testing.T) {
	for _, w := range []int{4, 5} {
		cropAndMirror(t, w)
	}
}

func cropAndMirror(t *testing.T, w int) {
	t.Helper()
	const h, c, pad = 4, 3, 2
	src := make([]uint8, h*w*c)
	for i := range src {
		src[i] = uint8(i + 1)
	}
	for dy := range 2*pad + 1 {
		for dx := range 2*pad + 1 {
			for _, flip := range []bool{false, true} {
				got := slices.Repeat([]uint8{255}, h*w*c)
				crop(got, src, h, w, c, pad, change{dy: dy, dx: dx})
				if flip {
					mirror(got, h, w, c)
				}
				want := make([]uint8, h*w*c)
				for i := range want {
					y, x, ch := i/c/w, i/c%w, i%c
					if flip {
						x = w - 1 - x
					}
					if y, x = y+dy-pad, x+dx-pad; y >= 0 && y < h && x >= 0 && x < w {
						want[i] = src[(y*w+x)*c+ch]
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("width %d, dy %d, dx %d, flip %v: %v, want %v", w, dy, dx, flip, got, want)
				}
			}
		}
	}
}
