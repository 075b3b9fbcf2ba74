// Package augment changes training images at random, pixel for pixel as the libraries of its users' recipes
// do: RandAugment and random erasing of timm, TrivialAugmentWide and ColorJitter of torchvision, with
// Pillow's arithmetic, and mixup and CutMix of batches. Every change is a pure function of the random
// stream it is given, so a sample can be drawn again from what the stream was seeded with.
//
//	p, err := augment.New(augment.Options{
//		RandAugment: augment.RandAugment{Ops: 2, Magnitude: 7, MagnitudeStd: 0.5, Probability: 0.5, Increasing: true},
//		Mean:        []float64{0.485, 0.456, 0.406},
//		Std:         []float64{0.229, 0.224, 0.225},
//	})
//	mine := p.Clone() // for each goroutine
//	mine.Apply(r, pixels, 224, 224, 3)
package augment

import "math/rand/v2"

// Pipeline applies the augmentations of its options to images. It keeps memory between images, so one
// goroutine at a time may use it; others take a Clone.
type Pipeline struct {
	o      Options
	rand   []randOp // RandAugment's choices
	wide   []wideOp // TrivialAugmentWide's choices
	fill   [3]uint8 // colour of what affine ops bring in from outside the image
	mean   [3]uint8 // colour that normalisation takes to 0, up to half a level
	drawn  []op     // of the image at hand
	before []uint8  // (H, W, C), the image that an op reads while it writes the other
	sums   []uint16 // (W*C), of three rows
}

// New makes the pipeline of o. An error names the key of the option that makes no sense.
func New(o Options) (*Pipeline, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := &Pipeline{o: o}
	if o.needsMean() {
		for k, m := range o.Mean {
			p.mean[k] = level(m)
		}
	}
	switch {
	case o.RandAugment.Ops > 0:
		p.rand, p.fill = randOps(o.RandAugment.Increasing), p.mean
	case o.TrivialAugment:
		p.wide = wideOps()
	}
	return p, nil
}

// Clone returns a pipeline with the same options and memory of its own.
func (p *Pipeline) Clone() *Pipeline {
	return &Pipeline{o: p.o, rand: p.rand, wide: p.wide, fill: p.fill, mean: p.mean}
}

// Apply changes an image (H, W, C) in place; C is 1 for grey or 3 for RGB, as many as the options have
// means. The result depends on the image and on what r yields, on nothing else. It allocates only for the first
// image and for a larger one than before.
func (p *Pipeline) Apply(r *rand.Rand, pixels []uint8, h, w, c int) {
	m := picture{pixels: pixels, h: h, w: w, c: c}
	p.drawn = p.draw(r, p.drawn[:0], h, w)
	for _, o := range p.drawn {
		p.run(o, m)
	}
	p.erase(r, m)
}

// draw appends what is done to an image of h by w pixels before erasing.
func (p *Pipeline) draw(r *rand.Rand, ops []op, h, w int) []op {
	switch {
	case p.rand != nil:
		return p.drawRand(r, ops, h, w)
	case p.wide != nil:
		return append(ops, p.drawWide(r))
	case p.o.ColorJitter != (ColorJitter{}):
		return p.o.ColorJitter.draw(r, ops)
	}
	return ops
}

// picture is an image, (H, W, C).
type picture struct {
	pixels  []uint8
	h, w, c int
}

// keep returns a copy of m, in memory that the next call reuses.
func (p *Pipeline) keep(m picture) picture {
	p.before = append(p.before[:0], m.pixels...)
	return picture{p.before, m.h, m.w, m.c}
}
