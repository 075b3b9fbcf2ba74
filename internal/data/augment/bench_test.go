package augment

import (
	"math/rand/v2"
	"testing"
)

const benchSide = 224

// noisy is an image of noise on a slope.
func noisy(h, w, c int) picture {
	r := rand.New(rand.NewPCG(1, 2))
	m := picture{make([]uint8, h*w*c), h, w, c}
	for i := range m.pixels {
		m.pixels[i] = uint8(i/(w*c)/2 + r.IntN(100))
	}
	return m
}

// BenchmarkOp is each op on 224x224 RGB pixels, affine ones between pixels.
func BenchmarkOp(b *testing.B) {
	for _, bench := range []struct {
		name string
		op
	}{
		{"autocontrast", op{kind: autoContrast}},
		{"equalize", op{kind: equalize}},
		{"posterize", op{kind: posterize, value: 4}},
		{"brightness", op{kind: brightness, value: 1.3}},
		{"contrast", op{kind: contrast, value: 1.3}},
		{"color", op{kind: color, value: 1.3}},
		{"sharpness", op{kind: sharpness, value: 1.3}},
		{"hue", op{kind: hue, value: 20}},
		{"shear-x/bicubic", op{shearX, 0.2, bicubic}},
		{"shear-y/bicubic", op{shearY, 0.2, bicubic}},
		{"translate-x/bicubic", op{translateX, 40.3, bicubic}},
		{"rotate/nearest", op{rotate, 20, nearest}},
		{"rotate/bilinear", op{rotate, 20, bilinear}},
		{"rotate/bicubic", op{rotate, 20, bicubic}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var p Pipeline
			m := noisy(benchSide, benchSide, 3)
			start := append([]uint8(nil), m.pixels...)
			for b.Loop() {
				copy(m.pixels, start) // 0.01 ms; without it some ops would end at one colour
				p.run(bench.op, m)
			}
		})
	}
}

// BenchmarkApply is whole pipelines; what is drawn differs between iterations.
func BenchmarkApply(b *testing.B) {
	mean, std := []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}
	for _, bench := range []struct {
		name string
		o    Options
	}{
		{"rand-m7-mstd0.5-inc1", Options{RandAugment: RandAugment{2, 7, 0.5, 0.5, true}}},
		{"rand-m7-mstd0.5-inc1-p1", Options{RandAugment: RandAugment{2, 7, 0.5, 1, true}}},
		{"trivial", Options{TrivialAugment: true}},
		{"jitter-0.4", Options{ColorJitter: ColorJitter{0.4, 0.4, 0.4, 0}}},
		{"erasing-pixel", Options{RandomErasing: Erasing{1, "pixel"}}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			bench.o.Mean, bench.o.Std = mean, std
			p, err := New(bench.o)
			if err != nil {
				b.Fatal(err)
			}
			m, r := noisy(benchSide, benchSide, 3), rand.New(rand.NewChaCha8([32]byte{}))
			start := append([]uint8(nil), m.pixels...)
			for b.Loop() {
				copy(m.pixels, start)
				p.Apply(r, m.pixels, m.h, m.w, m.c)
			}
		})
	}
}

// BenchmarkMix is a pair of 224x224 RGB images.
func BenchmarkMix(b *testing.B) {
	for name, m := range map[string]Mixing{"mixup": {Share: 0.7}, "cutmix": {0.75, Box{20, 30, 132, 142}}} {
		b.Run(name, func(b *testing.B) {
			x, y := noisy(benchSide, benchSide, 3).pixels, noisy(benchSide, benchSide, 3).pixels
			for b.Loop() {
				m.Pair(x, y, benchSide, 3)
			}
		})
	}
}
