package augment

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
)

// peers is what Pillow, torchvision and timm make of small pictures: scripts/fixtures/augment.py.
type peers struct {
	Pictures map[string]struct {
		H, W, C int
		Pixels  []uint8
	}
	Rand []struct {
		Increasing, Negative bool
		Op                   int
		Magnitude            float64
		Filter, Picture      string
		Pixels               []uint8
	}
	WideValues [][]float64 `json:"wide_values"`
	Wide       []struct {
		Op, Bin  int
		Negative bool
		Picture  string
		Pixels   []uint8
	}
	Jitter []struct {
		Op      string
		Factor  float64
		Picture string
		Pixels  []uint8
	}
	Rotations []struct {
		Degrees float64
		Filter  string
		Pixels  []uint8
	}
	Erased []struct {
		Share, Aspect float64
		H, W, BH, BW  int
	}
	Mixup []struct {
		Share  float64
		Pixels []uint8
	}
	Cutmix []struct {
		Share, Corrected float64
		CY, CX, H, W     int
		Box              []int
	}
}

func readPeers(t *testing.T) peers {
	t.Helper()
	text, err := os.ReadFile("testdata/peers.json")
	if err != nil {
		t.Fatal(err)
	}
	var p peers
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// picture returns a copy of one of the pictures.
func (p peers) picture(t *testing.T, name string) picture {
	t.Helper()
	m, ok := p.Pictures[name]
	if !ok || len(m.Pixels) == 0 || len(m.Pixels) != m.H*m.W*m.C {
		t.Fatalf("picture %q is missing", name)
	}
	return picture{slices.Clone(m.Pixels), m.H, m.W, m.C}
}

var filters = map[string]filter{"nearest": nearest, "bilinear": bilinear, "bicubic": bicubic}

// filling is a pipeline that fills with the colour that the fixtures are filled with.
func filling(t *testing.T, o Options) *Pipeline {
	t.Helper()
	o.Mean, o.Std = []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// checkPixels fails unless got is want, byte for byte.
func checkPixels(t *testing.T, what string, got, want []uint8) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d bytes, want %d", what, len(got), len(want))
		return
	}
	differ, most := 0, 0
	for i := range got {
		if d := max(got[i], want[i]) - min(got[i], want[i]); d > 0 {
			differ, most = differ+1, max(most, int(d))
		}
	}
	if differ > 0 {
		t.Errorf("%s: %d of %d bytes differ, by up to %d", what, differ, len(got), most)
	}
}

func TestRandAugmentIsTimms(t *testing.T) {
	f := readPeers(t)
	p := filling(t, Options{RandAugment: RandAugment{Ops: 2}})
	seen := map[kind]bool{}
	for _, c := range f.Rand {
		m, choice := f.picture(t, c.Picture), randOps(c.Increasing)[c.Op]
		o := op{choice.kind, choice.at(c.Magnitude/maxMagnitude, c.Negative, m.h, m.w), filters[c.Filter]}
		p.run(o, m)
		checkPixels(t, fmt.Sprintf("op %d, increasing %v, magnitude %g, negative %v, %s, %s", c.Op, c.Increasing, c.Magnitude, c.Negative, c.Filter, c.Picture), m.pixels, c.Pixels)
		seen[o.kind] = true
	}
	if n := len(randOps(true)); len(seen) != n {
		t.Errorf("%d of %d ops are compared", len(seen), n)
	}
}

func TestTrivialAugmentIsTorchvisions(t *testing.T) {
	f := readPeers(t)
	ops := wideOps()
	if len(ops) != len(f.WideValues) {
		t.Fatalf("%d ops, want %d", len(ops), len(f.WideValues))
	}
	for i, o := range ops {
		if len(o.values) != len(f.WideValues[i]) {
			t.Fatalf("op %d has %d values, want %d", i, len(o.values), len(f.WideValues[i]))
		}
		for bin, v := range f.WideValues[i] {
			if !(math.Abs(o.values[bin]-v) <= 2e-7*math.Abs(v)) {
				t.Errorf("op %d, bin %d has the value %v, want %v", i, bin, o.values[bin], v)
			}
		}
	}
	p := filling(t, Options{TrivialAugment: true})
	seen := map[kind]bool{}
	for _, c := range f.Wide {
		m := f.picture(t, c.Picture)
		o := op{ops[c.Op].kind, ops[c.Op].at(c.Bin, c.Negative), nearest}
		p.run(o, m)
		checkPixels(t, fmt.Sprintf("op %d, bin %d, negative %v", c.Op, c.Bin, c.Negative), m.pixels, c.Pixels)
		seen[o.kind] = true
	}
	if len(seen) != len(ops) {
		t.Errorf("%d of %d ops are compared", len(seen), len(ops))
	}
}

func TestColorJitterIsTorchvisions(t *testing.T) {
	f := readPeers(t)
	p := filling(t, Options{})
	kinds := map[string]kind{"brightness": brightness, "contrast": contrast, "saturation": color, "hue": hue}
	seen := map[string]bool{}
	for _, c := range f.Jitter {
		m, value := f.picture(t, c.Picture), c.Factor
		if c.Op == "hue" {
			value *= 255
		}
		p.run(op{kind: kinds[c.Op], value: value}, m)
		checkPixels(t, fmt.Sprintf("%s %g of %s", c.Op, c.Factor, c.Picture), m.pixels, c.Pixels)
		seen[c.Op] = true
	}
	if len(seen) != len(kinds) {
		t.Errorf("%d of %d functions are compared", len(seen), len(kinds))
	}
}

func TestRotationsArePillows(t *testing.T) {
	f := readPeers(t)
	p := filling(t, Options{RandAugment: RandAugment{Ops: 1}})
	for _, c := range f.Rotations {
		m := f.picture(t, "flat")
		p.run(op{rotate, c.Degrees, filters[c.Filter]}, m)
		checkPixels(t, fmt.Sprintf("%g degrees, %s", c.Degrees, c.Filter), m.pixels, c.Pixels)
	}
	if len(f.Rotations) == 0 {
		t.Error("no rotations to compare with")
	}
}

func TestErasedSizesAreTimms(t *testing.T) {
	f := readPeers(t)
	for _, c := range f.Erased {
		if h, w := erased(c.Share, c.Aspect, c.H, c.W); h != c.BH || w != c.BW {
			t.Errorf("share %g, aspect %g of %dx%d: %dx%d, want %dx%d", c.Share, c.Aspect, c.H, c.W, h, w, c.BH, c.BW)
		}
	}
	if len(f.Erased) == 0 {
		t.Error("no sizes to compare with")
	}
}

func TestMixupIsTimms(t *testing.T) {
	f := readPeers(t)
	for _, c := range f.Mixup {
		m := f.picture(t, "rgb")
		batch := slices.Clone(m.pixels)
		for i := m.h*m.w - 1; i >= 0; i-- { // the second row is the first, turned by 180 degrees
			batch = append(batch, m.pixels[3*i:3*i+3]...)
		}
		Mixing{Share: c.Share}.Images(batch, 2, m.h, m.w, m.c)
		checkPixels(t, fmt.Sprintf("share %g", c.Share), batch, c.Pixels)
	}
	if len(f.Mixup) == 0 {
		t.Error("no batches to compare with")
	}
}

func TestCutmixBoxesAreTimms(t *testing.T) {
	f := readPeers(t)
	for _, c := range f.Cutmix {
		got := cutMixing(c.Share, c.CY, c.CX, c.H, c.W)
		if want := (Mixing{c.Corrected, Box{c.Box[0], c.Box[1], c.Box[2], c.Box[3]}}); got != want {
			t.Errorf("share %g at (%d, %d) of %dx%d: %+v, want %+v", c.Share, c.CY, c.CX, c.H, c.W, got, want)
		}
	}
	if len(f.Cutmix) == 0 {
		t.Error("no boxes to compare with")
	}
}
