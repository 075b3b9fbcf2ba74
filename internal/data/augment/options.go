package augment

import (
	"fmt"
	"math"
	"slices"
)

// Options are the augmentations of a Pipeline, in the order in which they are applied; the zero value changes
// nothing. At most one of the first three may be on.
type Options struct {
	RandAugment    RandAugment // rand_augment; off without Ops
	TrivialAugment bool        // trivial_augment: torchvision's TrivialAugmentWide
	ColorJitter    ColorJitter // color_jitter; off where all are 0
	RandomErasing  Erasing     // random_erasing; off at probability 0

	// Interpolation of the affine ops: nearest, bilinear, bicubic, or random, which draws one of the last two each time. Empty is
	// the authors' choice: random for RandAugment, nearest for TrivialAugmentWide.
	Interpolation string // interpolation

	// Mean and Std are what the network's input is normalised with, for pixels in [0, 1] and each of 1 or 3 channels.
	// RandAugment fills what it brings in from outside with the mean; erasing draws with both.
	Mean, Std []float64 // mean, std
}

// RandAugment is timm's: "rand-m7-mstd0.5-inc1" is {Ops: 2, Magnitude: 7, MagnitudeStd: 0.5, Probability: 0.5, Increasing: true}.
type RandAugment struct {
	Ops          int     // ops: drawn for each image, with replacement; timm's n, usually 2
	Magnitude    float64 // magnitude: how strong they are, in [0, 10]; timm's m
	MagnitudeStd float64 // magnitude_std: of the normal noise on it, before it is clipped to [0, 10]; timm's mstd, usually 0.5
	Probability  float64 // probability: that a drawn op is applied; timm's p, usually 0.5
	Increasing   bool    // increasing: every op does more at a greater magnitude; timm's inc1
}

// ColorJitter is torchvision's. A factor of brightness, contrast or saturation is uniform in [max(0, 1-x), 1+x]
// where x is the option; hue shifts by a share of the colour circle that is uniform in [-x, x], x at most 0.5.
type ColorJitter struct {
	Brightness, Contrast, Saturation, Hue float64 // brightness, contrast, saturation, hue
}

// Erasing is timm's random erasing of one rectangle.
type Erasing struct {
	Probability float64 // probability: that an image loses a rectangle
	Mode        string  // mode: const fills it with the mean colour, pixel with normal noise of that mean and std; empty is const
}

// check returns an error that names the first bad key.
func (o Options) check() error {
	on := func(isOn bool, key string) []string {
		if isOn {
			return []string{key}
		}
		return nil
	}
	policies := slices.Concat(on(o.RandAugment.Ops > 0, "rand_augment"), on(o.TrivialAugment, "trivial_augment"),
		on(o.ColorJitter != ColorJitter{}, "color_jitter"))
	if len(policies) > 1 {
		return fmt.Errorf("augment: %s and %s are on, want only one", policies[0], policies[1])
	}
	if names := []string{"", "nearest", "bilinear", "bicubic", "random"}; !slices.Contains(names, o.Interpolation) {
		return fmt.Errorf("augment: interpolation is %q, want one of nearest, bilinear, bicubic, random", o.Interpolation)
	}
	if names := []string{"", "const", "pixel"}; !slices.Contains(names, o.RandomErasing.Mode) {
		return fmt.Errorf("augment: random_erasing.mode is %q, want one of const, pixel", o.RandomErasing.Mode)
	}
	if o.RandAugment.Ops < 0 || o.RandAugment.Ops > maxRandOps {
		return fmt.Errorf("augment: rand_augment.ops is %d, want 0 to %d", o.RandAugment.Ops, maxRandOps)
	}
	if err := checkRanges(o.ranges()); err != nil {
		return fmt.Errorf("augment: %w", err)
	}
	if o.needsMean() {
		return o.checkNormalisation()
	}
	return nil
}

// needsMean is whether anything is filled with the mean colour.
func (o Options) needsMean() bool { return o.RandAugment.Ops > 0 || o.RandomErasing.Probability > 0 }

// maxRandOps is more than any recipe applies; it bounds the time an image takes.
const maxRandOps = 32

// bounded is an option that must lie in [lo, hi].
type bounded struct {
	key           string
	value, lo, hi float64
}

// ranges lists the options that are numbers.
func (o Options) ranges() []bounded {
	ra, j := o.RandAugment, o.ColorJitter
	list := []bounded{
		{"rand_augment.magnitude", ra.Magnitude, 0, maxMagnitude},
		{"rand_augment.magnitude_std", ra.MagnitudeStd, 0, maxMagnitude},
		{"rand_augment.probability", ra.Probability, 0, 1},
		{"color_jitter.brightness", j.Brightness, 0, math.MaxFloat32},
		{"color_jitter.contrast", j.Contrast, 0, math.MaxFloat32},
		{"color_jitter.saturation", j.Saturation, 0, math.MaxFloat32},
		{"color_jitter.hue", j.Hue, 0, 0.5},
		{"random_erasing.probability", o.RandomErasing.Probability, 0, 1},
	}
	for _, m := range o.Mean {
		list = append(list, bounded{"mean", m, 0, 1})
	}
	for _, s := range o.Std {
		list = append(list, bounded{"std", s, 0, 1})
	}
	return list
}

// checkRanges fails on NaN too.
func checkRanges(list []bounded) error {
	for _, b := range list {
		if !(b.value >= b.lo && b.value <= b.hi) {
			return fmt.Errorf("%s is %g, want %g to %g", b.key, b.value, b.lo, b.hi)
		}
	}
	return nil
}

func (o Options) checkNormalisation() error {
	if n := len(o.Mean); n != 1 && n != 3 {
		return fmt.Errorf("augment: mean has %d channels, want 1 for grey or 3 for RGB", n)
	}
	if len(o.Std) != len(o.Mean) {
		return fmt.Errorf("augment: std has %d channels, mean %d", len(o.Std), len(o.Mean))
	}
	return nil
}
