package data

import (
	"context"
	"fmt"
	"runtime"

	"gorgonia.org/tensor"
)

// Batch is the images and labels of one step. It always has the loader's B rows, of which the first Size count.
type Batch struct {
	Images *tensor.Dense // (B, H, W, C) uint8; black in rows that only fill up
	Labels *tensor.Dense // (B) int32; -1 in rows that only fill up
	Size   int           // rows that count
}

// LoaderOptions say how samples become batches.
type LoaderOptions struct {
	BatchSize int
	Workers   int    // goroutines that read and augment; 0: GOMAXPROCS
	Seed      uint64 // of the order and the augmentation
	Train     bool   // shuffle every epoch anew and drop the last batch if it is not full
	Augment   Augment
	Repeats   int // how often each drawn sample comes in a training epoch, whose length stays; 0: once
	// Rank is which of the Ranks that share an epoch this is, from 0 on; with 0 ranks it is the only one. BatchSize is of one
	// rank: a step of all is Ranks*BatchSize neighbouring samples of the epoch, of which this rank has the Rank-th slice. All
	// have as many batches.
	Rank, Ranks int
	// Bad, if not nil, is told once of every image of [Pictures] that cannot be read in training: another image of its class
	// stands in for it. It is called from one goroutine at a time.
	Bad func(err error)
}

// check reports what makes no sense for images of h by w pixels.
func (o LoaderOptions) check(h, w int, files bool) error {
	switch a := o.Augment; {
	case o.BatchSize < 1:
		return fmt.Errorf("batch size is %d, want at least 1", o.BatchSize)
	case o.Workers < 0:
		return fmt.Errorf("%d workers, want at least 1, or 0 for one per processor", o.Workers)
	case a.Pad < 0 || a.Pad >= min(h, w):
		return fmt.Errorf("images of %dx%d pixels cannot be padded by %d before cropping", h, w, a.Pad)
	case files && a.Pad > 0:
		return fmt.Errorf("image files are not padded (by %d): their crops move", a.Pad)
	case files && o.Train && !(a.MinScale > 0 && a.MinScale <= 1):
		return fmt.Errorf("crops of at least %v of the area, want above 0 and at most 1", a.MinScale)
	case o.Repeats < 0:
		return fmt.Errorf("%d repeats, want at least 1, or 0 for 1", o.Repeats)
	case o.Rank < 0 || o.Rank >= max(1, o.Ranks):
		return fmt.Errorf("rank %d of %d", o.Rank, o.Ranks)
	}
	return nil
}

// Loader makes batches of a source. Its methods may be called from many goroutines at once.
type Loader struct {
	src         Source
	pictures    *Pictures    // src, if it is one
	substitutes *substitutes // for pictures in training, else nil
	o           LoaderOptions
	sampler     sampler
	h, w, c     int // of every image in a batch
}

// NewLoader makes a loader of src. It fails if the options make no sense for src, or if there are
// too few images for a single batch; the latter wraps ErrBadData.
func NewLoader(src Source, o LoaderOptions) (*Loader, error) {
	l := &Loader{src: src}
	l.h, l.w, l.c = src.Shape()
	l.pictures, _ = src.(*Pictures)
	if err := o.check(l.h, l.w, l.pictures != nil); err != nil {
		return nil, fmt.Errorf("loader: %w", err)
	}
	o.Repeats, o.Ranks = max(1, o.Repeats), max(1, o.Ranks)
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	switch step := o.BatchSize * o.Ranks; {
	case src.Len() == 0:
		return nil, fmt.Errorf("loader: %w: the data set has no images", ErrBadData)
	case o.Train && src.Len() < step:
		return nil, fmt.Errorf("loader: %w: the data set has %d images, fewer than one training batch of %d", ErrBadData, src.Len(), step)
	}
	l.o = o
	l.sampler = sampler{n: src.Len(), seed: o.Seed, train: o.Train, repeats: o.Repeats, rank: o.Rank, ranks: o.Ranks, batch: o.BatchSize}
	if l.pictures != nil && o.Train {
		l.substitutes = &substitutes{ix: l.pictures.Index, tell: o.Bad}
	}
	return l, nil
}

// Sized is l with training images of so many pixels, both ways: parts of [Pictures] are drawn at that size, images of another
// source are resized to it after crop and flip, bilinearly and antialiased. It shares what l has noted of bad images.
func (l *Loader) Sized(size int) *Loader {
	sized := *l
	sized.h, sized.w = size, size
	return &sized
}

// Batches is the number of batches in an epoch.
func (l *Loader) Batches() int { return l.sampler.batches() }

// Epoch starts an epoch at batch firstBatch, both counted from 0, and yields from there on what the whole
// epoch yields. The iterator must be closed. Errors, those of an impossible firstBatch too, come from Next.
func (l *Loader) Epoch(ctx context.Context, epoch, firstBatch int) *Iterator {
	ctx, cancel := context.WithCancel(ctx)
	it := &Iterator{
		loader: l, epoch: epoch, ctx: ctx, cancel: cancel,
		next: firstBatch,
		free: make(chan *slot, inFlight), ordered: make(chan *slot, inFlight), tasks: make(chan task),
		lent: make(map[*Batch]*slot, inFlight),
	}
	if firstBatch < 0 || firstBatch > l.Batches() {
		it.err = fmt.Errorf("loader: batch %d of an epoch of %d", firstBatch, l.Batches())
		return it
	}
	it.start()
	return it
}

// Sample draws one sample as the epoch draws it, into pixels (H, W, C), and returns its label. Of a repeated sample it is
// the first copy.
func (l *Loader) Sample(epoch, index int, pixels []uint8) (label int32, err error) {
	if want := l.h * l.w * l.c; len(pixels) != want {
		return 0, fmt.Errorf("sample %d: %d bytes for an image of %d", index, len(pixels), want)
	}
	return l.newReader().read(epoch, pick{index: index}, pixels)
}
