package augment

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// mixer is one whose options are right.
func mixer(t *testing.T, o MixOptions) *Mixer {
	t.Helper()
	m, err := NewMixer(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSharesAreBetaDistributed for the alphas whose distribution functions are elementary, and by the variance for a small one.
func TestSharesAreBetaDistributed(t *testing.T) {
	for alpha, below := range map[float64]func(x float64) float64{
		0.5: func(x float64) float64 { return 2 / math.Pi * math.Asin(math.Sqrt(x)) },
		1:   func(x float64) float64 { return x },
		2:   func(x float64) float64 { return x * x * (3 - 2*x) },
	} {
		m, counts := mixer(t, MixOptions{MixupAlpha: alpha, Probability: 1}), map[int]int{}
		for i := range 20000 {
			counts[int(20*below(m.Draw(stream(i), 8, 8).Share))]++ // uniform if and only if below is right
		}
		fair(t, "twentieths", counts, 20, 43.8)
	}
	for _, alpha := range []float64{0.001, 0.1, 0.2, 100} {
		m, list := mixer(t, MixOptions{MixupAlpha: alpha, Probability: 1}), []float64(nil)
		for i := range 20000 {
			list = append(list, m.Draw(stream(i), 8, 8).Share)
		}
		mean, std := moments(list)
		want := 0.5 / math.Sqrt(2*alpha+1)
		near(t, "mean share", mean, 0.5, 3.3*want/math.Sqrt(20000))
		near(t, "standard deviation of the share", std, want, 0.02*want)
	}
}

func TestHowOftenBatchesAreMixed(t *testing.T) {
	const n = 10000
	for _, c := range []struct {
		o             MixOptions
		mixup, cutmix float64
	}{
		{MixOptions{}, 0, 0},
		{MixOptions{Probability: 1, SwitchProbability: 0.5}, 0, 0},
		{MixOptions{MixupAlpha: 1}, 0, 0},
		{MixOptions{MixupAlpha: 1, CutmixAlpha: 1, Probability: 1, SwitchProbability: 0.5}, 0.5, 0.5},
		{MixOptions{MixupAlpha: 1, CutmixAlpha: 1, Probability: 0.6, SwitchProbability: 0.25}, 0.45, 0.15},
		{MixOptions{MixupAlpha: 1, Probability: 0.8, SwitchProbability: 0.5}, 0.8, 0},
		{MixOptions{CutmixAlpha: 1, Probability: 0.8, SwitchProbability: 0}, 0, 0.8},
	} {
		m, mixups, cutmixes := mixer(t, c.o), 0.0, 0.0
		for i := range n {
			switch got := m.Draw(stream(i), 64, 64); {
			case got.Box != Box{}:
				cutmixes++
			case got.Share != 1:
				mixups++
			}
		}
		near(t, "share of mixup", mixups/n, c.mixup, 3.3*math.Sqrt(c.mixup*(1-c.mixup)/n))
		near(t, "share of CutMix", cutmixes/n, c.cutmix, 3.3*math.Sqrt(c.cutmix*(1-c.cutmix)/n)+0.003) // a box may be empty
	}
}

func TestCutmixWeighsByTheBox(t *testing.T) {
	const h, w = 31, 47
	m := mixer(t, MixOptions{CutmixAlpha: 1, Probability: 1})
	ys, xs := map[int]int{}, map[int]int{}
	for i := range 5000 {
		got := m.Draw(stream(i), h, w)
		b := got.Box
		if b.Y0 < 0 || b.X0 < 0 || b.Y1 > h || b.X1 > w || b.Y1 < b.Y0 || b.X1 < b.X0 {
			t.Fatalf("stream %d: box %+v of %dx%d", i, b, h, w)
		}
		near(t, "share", got.Share, 1-float64((b.Y1-b.Y0)*(b.X1-b.X0))/(h*w), 0)
		ys[b.Y0]++
		xs[b.X0]++
	}
	if len(ys) < h-1 || len(xs) < w-1 { // the last row and column start boxes of a single pixel, if any
		t.Errorf("boxes start at %d of %d rows and %d of %d columns", len(ys), h, len(xs), w)
	}
}

func TestDrawDependsOnNothingButItsStream(t *testing.T) {
	m := mixer(t, MixOptions{MixupAlpha: 0.2, CutmixAlpha: 1, Probability: 1, SwitchProbability: 0.5})
	seen := map[Mixing]int{}
	for i := range 100 {
		got := m.Draw(stream(i), 20, 20)
		if again := m.Draw(stream(i), 20, 20); again != got {
			t.Errorf("stream %d: %+v, then %+v", i, got, again)
		}
		seen[got]++
	}
	if len(seen) < 80 {
		t.Errorf("%d different draws of 100 streams", len(seen))
	}
	got := m.Draw(stream(3), 20, 20)
	if want := (Mixing{0.5125, Box{0, 0, 13, 15}}); got != want { // checkpoints of earlier releases go on with these very numbers
		t.Errorf("stream 3: %+v, want %+v", got, want)
	}
}

func TestCutmixExchangesTheBox(t *testing.T) {
	const n, h, w, c = 5, 4, 6, 3
	batch := make([]uint8, n*h*w*c)
	for i := range batch {
		batch[i] = uint8(i)
	}
	before := slices.Clone(batch)
	b := Box{1, 2, 3, 6}
	Mixing{1 - float64(2*4)/(h*w), b}.Images(batch, n, h, w, c)
	for i := range batch {
		row, y, x := i/(h*w*c), i/(w*c)%h, i/c%w
		from := i
		if y >= b.Y0 && y < b.Y1 && x >= b.X0 && x < b.X1 {
			from += (n - 1 - 2*row) * h * w * c
		}
		if batch[i] != before[from] {
			t.Fatalf("row %d, pixel (%d, %d) is %d, want %d", row, y, x, batch[i], before[from])
		}
	}
}

func TestMixupIsAtMostHalfALevelOff(t *testing.T) {
	for _, share := range []float64{0, 1e-9, 0.25, 1.0 / 3, 0.5, 0.77, 1 - 1e-9} {
		a, b := make([]uint8, 256*256), make([]uint8, 256*256)
		for i := range a {
			a[i], b[i] = uint8(i), uint8(i>>8)
		}
		Mixing{Share: share}.Pair(a, b, 256, 1)
		for i := range a {
			x, y := float64(i&255), float64(i>>8)
			if !(math.Abs(float64(a[i])-(share*x+(1-share)*y)) <= 0.5+1e-4) || !(math.Abs(float64(b[i])-(share*y+(1-share)*x)) <= 0.5+1e-4) {
				t.Fatalf("share %g of %g and %g: %d and %d", share, x, y, a[i], b[i])
			}
		}
	}
}

func TestShareOneChangesNothing(t *testing.T) {
	batch := noisy(3, 4, 3).pixels
	before := slices.Clone(batch)
	Mixing{Share: 1}.Images(batch, 3, 1, 4, 3)
	if !slices.Equal(batch, before) {
		t.Error("pixels change")
	}
}

func TestMixedLabels(t *testing.T) {
	others, weights := make([]int32, 3), make([]float32, 3)
	Mixing{Share: 0.75}.Labels([]int32{7, 8, 9}, others, weights)
	if !slices.Equal(others, []int32{9, 8, 7}) || !slices.Equal(weights, []float32{0.75, 0.75, 0.75}) {
		t.Errorf("labels %v with weights %v, want [9 8 7] with 0.75", others, weights)
	}
}

func TestMixErrorsNameTheKey(t *testing.T) {
	for key, o := range map[string]MixOptions{
		"mix: mixup_alpha is -1":                       {MixupAlpha: -1},
		"mix: mixup_alpha is 1e-09, want 0.001 to":     {MixupAlpha: 1e-9},
		"mix: cutmix_alpha is NaN":                     {CutmixAlpha: math.NaN()},
		"mix: probability is 1.5":                      {Probability: 1.5},
		"mix: switch_probability is -0.5, want 0 to 1": {SwitchProbability: -0.5},
	} {
		if _, err := NewMixer(o); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("error %v, want one with %q", err, key)
		}
	}
}
