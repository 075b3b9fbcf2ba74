package train

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"senet/internal/config"
)

// TestLoaderOptionsAugment: the config's augmentations change an image as a function of the random numbers alone; without
// them nothing is changed, and two policies at once are an error of the config that names both.
func TestLoaderOptionsAugment(t *testing.T) {
	var c config.Config
	c.Data.Mean, c.Data.Std = []float64{0.5, 0.5, 0.5}, []float64{0.25, 0.25, 0.25}
	if o, err := LoaderOptions(c); err != nil || o.Augment.Pixels != nil {
		t.Errorf("without augmentation: %v, pixels are changed: %v", err, o.Augment.Pixels != nil)
	}
	c.Data.Augment.RandAugment = config.RandAugment{Ops: 2, Magnitude: 7, MagnitudeStd: 0.5, Probability: 1, Increasing: true}
	o, err := LoaderOptions(c)
	if err != nil {
		t.Fatal(err)
	}
	const h, w, channels = 16, 16, 3
	draw := func(seed uint64) []uint8 {
		pixels := make([]uint8, h*w*channels)
		for i := range pixels {
			pixels[i] = uint8(i)
		}
		o.Augment.Pixels()(rand.New(rand.NewPCG(seed, 1)), pixels, h, w, channels)
		return pixels
	}
	if !bytes.Equal(draw(1), draw(1)) {
		t.Error("the same random numbers give two images")
	}
	if bytes.Equal(draw(1), draw(2)) {
		t.Error("other random numbers give the same image")
	}
	c.Data.Augment.TrivialAugment = true
	if _, err := LoaderOptions(c); !errors.Is(err, config.ErrConfig) || !strings.Contains(err.Error(), "rand_augment and trivial_augment") {
		t.Errorf("two policies: %v", err)
	}
}
