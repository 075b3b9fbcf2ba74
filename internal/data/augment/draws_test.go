package augment

import (
	"math"
	"math/rand/v2"
	"testing"
)

// stream is the one that a test seeds with i.
func stream(i int) *rand.Rand {
	var key [32]byte
	key[0], key[1], key[2] = byte(i), byte(i>>8), byte(i>>16)
	return rand.New(rand.NewChaCha8(key))
}

// fair fails unless the counts fit equal chances: more than most, chi-squared goes beyond once in 1000 seeds.
func fair[K comparable](t *testing.T, what string, counts map[K]int, cells int, most float64) {
	t.Helper()
	total := 0
	for _, n := range counts {
		total += n
	}
	want, chi2 := float64(total)/float64(cells), float64(cells-len(counts))*float64(total)/float64(cells)
	for _, n := range counts {
		chi2 += (float64(n) - want) * (float64(n) - want) / want
	}
	if total == 0 || len(counts) > cells || !(chi2 < most) {
		t.Errorf("%s: chi-squared is %.1f for %d draws in %d of %d cells, want less than %.1f", what, chi2, total, len(counts), cells, most)
	}
}

// near fails unless got is want up to tolerance.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %g, want %g up to %g", what, got, want, tolerance)
	}
}

// moments returns the mean and standard deviation.
func moments(list []float64) (mean, std float64) {
	for _, v := range list {
		mean += v / float64(len(list))
	}
	for _, v := range list {
		std += (v - mean) * (v - mean) / float64(len(list))
	}
	return mean, math.Sqrt(std)
}

func TestRandAugmentDraws(t *testing.T) {
	const n = 20000
	p := filling(t, Options{RandAugment: RandAugment{2, 7, 0.5, 0.5, true}})
	kinds, signs, kept := map[kind]int{}, map[bool]int{}, map[filter]int{}
	var magnitudes []float64
	applied := 0
	for i := range n {
		ops := p.draw(stream(i), nil, 100, 200)
		applied += len(ops)
		for _, o := range ops {
			kinds[o.kind]++
			kept[o.filter]++
			switch o.kind {
			case rotate:
				signs[o.value < 0]++
				magnitudes = append(magnitudes, math.Abs(o.value)/30*maxMagnitude)
			case translateX:
				magnitudes = append(magnitudes, math.Abs(o.value)/(0.45*200)*maxMagnitude)
			case translateY:
				magnitudes = append(magnitudes, math.Abs(o.value)/(0.45*100)*maxMagnitude)
			}
		}
	}
	fair(t, "ops", kinds, 15, 36.1)
	fair(t, "signs", signs, 2, 10.8)
	fair(t, "filters", kept, 2, 10.8)
	near(t, "applied share", float64(applied)/(2*n), 0.5, 3.3*0.5/math.Sqrt(2*n))
	mean, std := moments(magnitudes)
	near(t, "mean magnitude", mean, 7, 3.3*0.5/math.Sqrt(float64(len(magnitudes))))
	near(t, "standard deviation of the magnitude", std, 0.5, 3.3*0.5/math.Sqrt(2*float64(len(magnitudes))))
}

func TestMagnitudeIsClipped(t *testing.T) {
	p := filling(t, Options{RandAugment: RandAugment{1, 9.5, 5, 1, true}})
	clipped := 0
	for i := range 5000 {
		if o := p.draw(stream(i), nil, 10, 10)[0]; o.kind == rotate {
			if !(math.Abs(o.value) <= 30) {
				t.Fatalf("stream %d rotates by %g degrees", i, o.value)
			}
			if math.Abs(o.value) == 30 {
				clipped++
			}
		}
	}
	if clipped == 0 {
		t.Error("no magnitude is clipped")
	}
}

func TestTrivialAugmentDraws(t *testing.T) {
	p := filling(t, Options{TrivialAugment: true})
	kinds, bins := map[kind]int{}, map[float64]int{}
	for i := range 40000 {
		ops := p.draw(stream(i), nil, 100, 200)
		if len(ops) != 1 || ops[0].filter != nearest {
			t.Fatalf("stream %d: %+v, want one op, nearest", i, ops)
		}
		kinds[ops[0].kind]++
		if ops[0].kind == rotate && ops[0].value != 0 {
			bins[ops[0].value]++
		}
	}
	fair(t, "ops", kinds, 14, 34.5)
	fair(t, "angles", bins, 2*(wideBins-1), 98.3)
}

func TestColorJitterDraws(t *testing.T) {
	j := ColorJitter{Brightness: 0.4, Contrast: 0.3, Saturation: 1.5, Hue: 0.1}
	ranges := map[kind][2]float64{brightness: {0.6, 1.4}, contrast: {0.7, 1.3}, color: {0, 2.5}, hue: {-25.5, 25.5}}
	orders, tenths := map[[4]kind]int{}, map[kind]map[int]int{}
	for k := range ranges {
		tenths[k] = map[int]int{}
	}
	for i := range 12000 {
		ops := j.draw(stream(i), nil)
		if len(ops) != 4 {
			t.Fatalf("stream %d: %d ops, want 4", i, len(ops))
		}
		var order [4]kind
		for at, o := range ops {
			order[at] = o.kind
			lo, hi := ranges[o.kind][0], ranges[o.kind][1]
			tenths[o.kind][int(math.Floor(10*(o.value-lo)/(hi-lo)))]++
		}
		orders[order]++
	}
	fair(t, "orders", orders, 24, 49.7)
	for k, counts := range tenths {
		fair(t, "tenths of the range of "+map[kind]string{brightness: "brightness", contrast: "contrast", color: "saturation", hue: "hue"}[k], counts, 10, 27.9)
	}
}

func TestSwitchingOnePartOfTheJitterOffLeavesTheOthers(t *testing.T) {
	all, some := ColorJitter{0.4, 0.3, 0.2, 0.1}, ColorJitter{0.4, 0, 0.2, 0}
	for i := range 50 {
		var want []op
		for _, o := range all.draw(stream(i), nil) {
			if o.kind == brightness || o.kind == color {
				want = append(want, o)
			}
		}
		got := some.draw(stream(i), nil)
		if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Fatalf("stream %d: %v, want %v", i, got, want)
		}
	}
}

func TestErasingDraws(t *testing.T) {
	const n, h, w = 20000, 90, 120
	e := Erasing{Probability: 0.25}
	var shares, logs []float64
	tops := map[int]int{}
	for i := range n {
		b := e.draw(stream(i), h, w)
		if b == (Box{}) {
			continue
		}
		bh, bw := b.Y1-b.Y0, b.X1-b.X0
		if b.Y0 < 0 || b.X0 < 0 || b.Y1 > h || b.X1 > w || bh <= 0 || bw <= 0 {
			t.Fatalf("stream %d erases %+v of %dx%d", i, b, h, w)
		}
		shares = append(shares, float64(bh*bw)/(h*w))
		logs = append(logs, math.Log(float64(bh)/float64(bw)))
		tops[10*b.Y0/(h-bh+1)]++
	}
	near(t, "erased share of images", float64(len(shares))/n, 0.25, 3.3*math.Sqrt(0.25*0.75/n))
	mean, _ := moments(shares)
	near(t, "mean share of an image", mean, (minErased+maxErased)/2, 0.012) // 0.176; tall rectangles of a third do not fit and are drawn again
	tilt, spread := moments(logs)
	near(t, "mean logarithm of the aspect", tilt, 0, 0.06)
	near(t, "spread of the logarithm of the aspect", spread, math.Log(maxAspect/minAspect)/math.Sqrt(12), 0.04)
	fair(t, "tenths of the free height", tops, 10, 60) // not exactly equal, since tops are whole pixels
}
