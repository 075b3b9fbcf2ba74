package train

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/config"
	"senet/internal/graph"
)

// growing are the keys of a run whose images have 6, 6, 7 and from then on 8 pixels.
var growing = []string{"train.resize.from=6", "train.resize.start_epoch=1", "train.resize.end_epoch=3", "train.resize.multiple=1"}

// TestImagesGrowAsInFFCV compares with what get_resolution of ffcv's train_imagenet.py computes by numpy.
func TestImagesGrowAsInFFCV(t *testing.T) {
	for _, c := range []struct {
		sets  string
		sizes map[int]int // by the first epoch, from 0 on, that has the size
	}{
		{"{from: 160, to: 192, start_epoch: 11, end_epoch: 13}", map[int]int{0: 160, 12: 192}}, // of its 16 epochs; 176 is rounded to even
		{"{from: 160, to: 192, start_epoch: 65, end_epoch: 76}", map[int]int{0: 160, 71: 192}}, // of its 88 epochs
		{"{from: 96, to: 256, start_epoch: 3, end_epoch: 13}", map[int]int{0: 96, 4: 128, 7: 160, 8: 192, 11: 224, 12: 256}},
		{"{from: 16, end_epoch: 8, multiple: 4}", map[int]int{0: 16, 2: 20, 4: 24, 7: 28}},
		{"{from: 20, to: 24}", map[int]int{0: 20, 1: 24}},
		{"{from: 20, to: 20}", map[int]int{0: 20}},
		{"{from: 27, end_epoch: 2}", map[int]int{0: 27, 1: 28}}, // a multiple of 32 would be too large
		{"{}", map[int]int{0: 28}},
	} {
		cfg, err := config.Parse("test", []byte("model: {name: x}\ntrain: {resize: "+c.sets+"}"), nil)
		if err != nil {
			t.Fatal(err)
		}
		have := map[int]int{}
		for epoch := range 100 {
			if size := imageSize(cfg, epoch); epoch == 0 || size != imageSize(cfg, epoch-1) {
				have[epoch] = size
			}
		}
		if !maps.Equal(have, c.sizes) {
			t.Errorf("%s: sizes by epoch %v, want %v", c.sets, have, c.sizes)
		}
	}
}

// TestEachSizeIsCompiledOnce, the greatest one first, so that memory that it lacks is missed before the first step.
func TestEachSizeIsCompiledOnce(t *testing.T) {
	b := newSpy(t)
	var order []string
	b.fault = func(c call) error {
		if c.name == "compile" {
			if b.opened-b.closed > 1 {
				t.Errorf("after %v: %d programs are open", order, b.opened-b.closed)
			}
			kind := "eval"
			if c.training() {
				kind = "train"
			}
			order = append(order, fmt.Sprint(kind, " ", c.program.Image.Shape[1], "x", c.program.Image.Shape[2]))
		}
		return nil
	}
	s, r := smallRun(t, b, t.TempDir(), append(growing, "train.epochs=5")...)
	unbroken(t, s, r)
	if want := []string{"train 8x8", "eval 8x8", "train 6x6", "train 7x7", "train 8x8"}; !slices.Equal(order, want) {
		t.Errorf("compiled %v, want %v", order, want)
	}
	var sizes []int
	for _, e := range r.epochs {
		sizes = append(sizes, e.ImageSize)
	}
	if want := []int{6, 6, 7, 8, 8}; !slices.Equal(sizes, want) {
		t.Errorf("epochs of %v pixels, want %v", sizes, want)
	}
}

func TestMemoryForTheGreatestSizeIsMissedAtTheStart(t *testing.T) {
	b := newSpy(t)
	b.fault = func(c call) error {
		if c.name == "compile" && c.training() && c.program.Image.Shape[1] == 8 {
			return &backend.OutOfMemory{}
		}
		return nil
	}
	s, r := smallRun(t, b, t.TempDir(), append(growing, "train.epochs=5")...)
	var full *backend.OutOfMemory
	if _, err := Run(t.Context(), s); !errors.As(err, &full) || !strings.Contains(err.Error(), "train.batch_size") || len(r.order) != 0 {
		t.Errorf("error %v, events %v, want lack of memory at the start", err, r.order)
	}
}

// TestResizingCarriesEverythingOver: parameters, statistics, averages, sums and states of the optimiser, none of which is zero.
func TestResizingCarriesEverythingOver(t *testing.T) {
	s, _ := smallRun(t, newSpy(t), t.TempDir(), append(growing, "train.optimizer=adamw", "train.ema_decay=0.9", "train.accumulate=2")...)
	r, err := open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	random := rand.New(rand.NewPCG(1, 2))
	want := Tensors{}
	for _, v := range r.net.Program.Persistent() {
		xs := make([]float32, v.Shape.Elems())
		for i := range xs {
			xs[i] = random.Float32() + 1e-3
		}
		want[v.Name] = tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(xs))
	}
	if err := r.net.Set(r.net.Program.Persistent(), want); err != nil {
		t.Fatal(err)
	}
	for epoch, size := range []int{6, 6, 7, 8} {
		r.where.epoch = epoch
		if err := r.resize(); err != nil {
			t.Fatal(err)
		}
		if have := r.net.Program.Image.Shape; !have.Equal(graph.Shape{8, size, size, 1}) {
			t.Errorf("epoch %d: images %v, want %d pixels", epoch, have, size)
		}
		have, err := r.net.Get(r.net.Program.Persistent())
		if err != nil {
			t.Fatal(err)
		}
		diffTensors(t, fmt.Sprint("epoch ", epoch), have, want)
	}
}

func TestASizeThatTheNetworkDoesNotTakeIsFoundAtTheStart(t *testing.T) {
	s, r := smallRun(t, newSpy(t), t.TempDir(), "model.name=bn_inception", "model.dropout=0", "train.resize.from=1", "train.resize.end_epoch=2")
	if _, err := Run(t.Context(), s); err == nil || !strings.Contains(err.Error(), "training images of 1 pixels") || len(r.order) != 0 {
		t.Errorf("error %v, events %v", err, r.order)
	}
}
