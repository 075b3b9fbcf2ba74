package augment

import (
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recipes are pipelines that between them draw every op.
func recipes() map[string]Options {
	return map[string]Options{
		"rand":    {RandAugment: RandAugment{2, 7, 0.5, 0.5, true}},
		"rand-p1": {RandAugment: RandAugment{3, 9, 2, 1, false}, Interpolation: "bicubic", RandomErasing: Erasing{0.5, "const"}},
		"wide":    {TrivialAugment: true, RandomErasing: Erasing{0.25, "pixel"}},
		"jitter":  {ColorJitter: ColorJitter{0.4, 0.4, 0.4, 0.1}},
	}
}

// applied is what p makes of picture m with stream i.
func applied(p *Pipeline, i int, m picture) []uint8 {
	pixels := slices.Clone(m.pixels)
	p.Apply(stream(i), pixels, m.h, m.w, m.c)
	return pixels
}

// TestResultsNeverChange: checkpoints of earlier releases go on with these very pixels.
func TestResultsNeverChange(t *testing.T) {
	want := map[string]string{"rand": "6c957f27", "rand-p1": "5bd63d0c", "wide": "1afc8671", "jitter": "61dc66c6"}
	for name, o := range recipes() {
		p, sum := filling(t, o), crc32.NewIEEE()
		for i := range 40 {
			if _, err := sum.Write(applied(p, i, noisy(21, 34, 3))); err != nil {
				t.Fatal(err)
			}
		}
		if got := fmt.Sprintf("%08x", sum.Sum32()); got != want[name] {
			t.Errorf("%s: %s, want %s", name, got, want[name])
		}
	}
}

func TestResultDependsOnNothingButItsStream(t *testing.T) {
	m := noisy(19, 23, 3)
	for name, o := range recipes() {
		fresh, used := filling(t, o), filling(t, o)
		for i := range 30 {
			applied(used, 1000+i, noisy(5+3*i, 50-i, 3)) // leaves memory of other sizes behind
			want := applied(fresh.Clone(), i, m)
			if got := applied(used, i, m); !slices.Equal(got, want) {
				t.Errorf("%s, stream %d: another result after other images", name, i)
			}
		}
		same := 0
		for i := range 30 {
			if slices.Equal(applied(fresh, i, m), applied(fresh, i+30, m)) {
				same++
			}
		}
		if same > 15 {
			t.Errorf("%s: %d of 30 pairs of streams give the same result", name, same)
		}
	}
}

func TestClonesWorkAtOnce(t *testing.T) {
	m := noisy(19, 23, 3)
	p := filling(t, recipes()["rand-p1"])
	const n = 40
	want := make([][]uint8, n)
	for i := range want {
		want[i] = applied(p, i, m)
	}
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			mine := p.Clone()
			for i := worker; i < n; i += 4 {
				if !slices.Equal(applied(mine, i, m), want[i]) {
					t.Errorf("stream %d: another result in a clone", i)
				}
			}
		})
	}
	group.Wait()
}

func TestNoOptionsChangeNothing(t *testing.T) {
	p, err := New(Options{Mean: []float64{0.1, 0.2}})
	if err != nil {
		t.Fatal(err)
	}
	m := noisy(6, 7, 2)
	if !slices.Equal(applied(p, 1, m), m.pixels) {
		t.Error("pixels change")
	}
}

// TestApplyDoesNotAllocate: a worker makes thousands of images a second.
func TestApplyDoesNotAllocate(t *testing.T) {
	for name, o := range recipes() {
		p, r, m := filling(t, o), stream(1), noisy(24, 24, 3)
		images := func() {
			for range 200 {
				p.Apply(r, m.pixels, m.h, m.w, m.c)
			}
		}
		if n := testing.AllocsPerRun(1, images); n != 0 { // it runs them once before it counts
			t.Errorf("%s: %g allocations for 200 images", name, n)
		}
	}
}

// TestSmallestImages: whatever an op needs around a pixel, there is less of it.
func TestSmallestImages(t *testing.T) {
	for k := identity; k <= translateY; k++ {
		for _, f := range []filter{nearest, bilinear, bicubic} {
			for _, size := range [][3]int{{1, 1, 3}, {1, 1, 1}, {1, 5, 3}, {5, 1, 1}, {2, 2, 3}} {
				for _, value := range []float64{0, 0.3, -0.3, 1, 7.6, 255} {
					if k == posterize && (value < 0 || value > 8) {
						continue
					}
					m := noisy(size[0], size[1], size[2])
					p := filling(t, Options{RandAugment: RandAugment{Ops: 1}})
					p.run(op{k, value, f}, m) // must not panic
				}
			}
		}
	}
	p := filling(t, Options{RandomErasing: Erasing{1, "pixel"}})
	for i := range 100 {
		one := noisy(1, 1, 3)
		if !slices.Equal(applied(p, i, one), one.pixels) {
			t.Fatal("the only pixel is erased")
		}
	}
}

// TestPosterizeToNothing: Pillow no longer takes the 0 bits that timm's magnitude 10 gives; before, it made black.
func TestPosterizeToNothing(t *testing.T) {
	m := noisy(3, 4, 3)
	new(Pipeline).run(op{kind: posterize, value: 0}, m)
	if slices.Max(m.pixels) != 0 {
		t.Errorf("%v, want black", m.pixels)
	}
}

// TestNearestTranslationRounds: Pillow's translations are in floating point, unlike its other affine ops, whose 16 bits would
// take this one to the next pixel.
func TestNearestTranslationRounds(t *testing.T) {
	for _, k := range []kind{translateX, translateY} {
		m := noisy(5, 6, 3)
		before := slices.Clone(m.pixels)
		new(Pipeline).run(op{k, 0.499999, nearest}, m)
		if !slices.Equal(m.pixels, before) {
			t.Errorf("kind %d: moved by 0.499999 pixels, the image changes", k)
		}
		if new(Pipeline).run(op{k, 0.5, nearest}, m); slices.Equal(m.pixels, before) {
			t.Errorf("kind %d: moved by half a pixel, the image stays", k)
		}
	}
}

func TestErasingFills(t *testing.T) {
	for _, mode := range []string{"", "const", "pixel"} {
		p := filling(t, Options{RandomErasing: Erasing{1, mode}})
		var noise [3][]float64
		for i := range 200 {
			m := noisy(40, 30, 3)
			got, b := applied(p, i, m), p.o.RandomErasing.draw(stream(i), 40, 30)
			for y := range 40 {
				for x := range 30 {
					at := (y*30 + x) * 3
					rgb, before := got[at:at+3], m.pixels[at:at+3]
					switch {
					case y < b.Y0 || y >= b.Y1 || x < b.X0 || x >= b.X1:
						if !slices.Equal(rgb, before) {
							t.Fatalf("%q, stream %d: pixel (%d, %d) outside of %+v changes", mode, i, y, x, b)
						}
					case mode == "pixel":
						for k, v := range rgb {
							noise[k] = append(noise[k], float64(v)/255)
						}
					case !slices.Equal(rgb, []uint8{124, 116, 104}):
						t.Fatalf("%q, stream %d: pixel (%d, %d) is %v, want the mean colour", mode, i, y, x, rgb)
					}
				}
			}
		}
		for k, list := range noise {
			if mode == "pixel" {
				mean, std := moments(list)
				near(t, "mean", mean, p.o.Mean[k], 0.01)
				near(t, "standard deviation", std, p.o.Std[k], 0.02) // cut off at black and white
			}
		}
	}
}

func TestInterpolationIsChosen(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want []filter
	}{
		{"", Options{RandAugment: RandAugment{2, 7, 0, 1, true}}, []filter{bilinear, bicubic}},
		{"random", Options{TrivialAugment: true}, []filter{bilinear, bicubic}},
		{"", Options{TrivialAugment: true}, []filter{nearest}},
		{"nearest", Options{RandAugment: RandAugment{2, 7, 0, 1, true}}, []filter{nearest}},
		{"bilinear", Options{RandAugment: RandAugment{2, 7, 0, 1, true}}, []filter{bilinear}},
		{"bicubic", Options{TrivialAugment: true}, []filter{bicubic}},
	} {
		c.o.Interpolation = c.name
		p := filling(t, c.o)
		var got []filter
		for i := range 100 {
			for _, o := range p.draw(stream(i), nil, 8, 8) {
				if !slices.Contains(got, o.filter) {
					got = append(got, o.filter)
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: filters %v, want %v", c.name, got, c.want)
		}
	}
}

func TestErrorsNameTheKey(t *testing.T) {
	mean, std := []float64{0.5}, []float64{0.2}
	for key, o := range map[string]Options{
		"rand_augment.ops is -1":                  {RandAugment: RandAugment{Ops: -1}},
		"rand_augment.ops is 33":                  {RandAugment: RandAugment{Ops: 33}},
		"rand_augment.magnitude is NaN":           {RandAugment: RandAugment{Ops: 1, Magnitude: math.NaN()}},
		"rand_augment.magnitude is 10.5":          {RandAugment: RandAugment{Ops: 1, Magnitude: 10.5}},
		"rand_augment.magnitude_std":              {RandAugment: RandAugment{Ops: 1, MagnitudeStd: math.Inf(1)}},
		"rand_augment.probability":                {RandAugment: RandAugment{Ops: 1, Probability: 1.1}},
		"color_jitter.brightness":                 {ColorJitter: ColorJitter{Brightness: -0.1}},
		"color_jitter.contrast":                   {ColorJitter: ColorJitter{Contrast: math.NaN()}},
		"color_jitter.saturation":                 {ColorJitter: ColorJitter{Saturation: math.Inf(1)}},
		"color_jitter.hue is 0.6":                 {ColorJitter: ColorJitter{Hue: 0.6}},
		"random_erasing.probability":              {RandomErasing: Erasing{Probability: 2}},
		`random_erasing.mode is "rand"`:           {RandomErasing: Erasing{Probability: 1, Mode: "rand"}},
		`interpolation is "lanczos"`:              {Interpolation: "lanczos"},
		"rand_augment and trivial_augment are on": {RandAugment: RandAugment{Ops: 1}, TrivialAugment: true},
		"trivial_augment and color_jitter are on": {TrivialAugment: true, ColorJitter: ColorJitter{Hue: 0.1}},
		"rand_augment and color_jitter are on":    {RandAugment: RandAugment{Ops: 1}, ColorJitter: ColorJitter{Hue: 0.1}},
		"mean has 0 channels":                     {RandAugment: RandAugment{Ops: 1}},
		"mean has 2 channels":                     {RandomErasing: Erasing{Probability: 1}, Mean: []float64{0, 0}, Std: []float64{1, 1}},
		"std has 0 channels, mean 1":              {RandomErasing: Erasing{Probability: 1}, Mean: mean},
		"mean is 1.5":                             {Mean: []float64{1.5}, Std: std},
		"std is -1":                               {Mean: mean, Std: []float64{-1}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("error %v, want one with %q", err, key)
		}
	}
}
