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
}

// Loader makes batches of a source. Its methods may be called from many goroutines at once.
type Loader struct {
	src     Source
	o       LoaderOptions
	h, w, c int // of every image
}

// NewLoader makes a loader of src. It fails if the options make no sense for src, or if there are
// too few images for a single batch; the latter wraps ErrBadData.
func NewLoader(src Source, o LoaderOptions) (*Loader, error) {
	h, w, c := src.Shape()
	switch {
	case o.BatchSize < 1:
		return nil, fmt.Errorf("loader: batch size is %d, want at least 1", o.BatchSize)
	case o.Workers < 0:
		return nil, fmt.Errorf("loader: %d workers, want at least 1, or 0 for one per processor", o.Workers)
	case o.Augment.Pad < 0 || o.Augment.Pad >= min(h, w):
		return nil, fmt.Errorf("loader: images of %dx%d pixels cannot be padded by %d before cropping", h, w, o.Augment.Pad)
	case src.Len() == 0:
		return nil, fmt.Errorf("loader: %w: the data set has no images", ErrBadData)
	case o.Train && src.Len() < o.BatchSize:
		return nil, fmt.Errorf("loader: %w: the data set has %d images, fewer than one training batch of %d", ErrBadData, src.Len(), o.BatchSize)
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return &Loader{src: src, o: o, h: h, w: w, c: c}, nil
}

// Batches is the number of batches in an epoch.
func (l *Loader) Batches() int {
	if l.o.Train {
		return l.src.Len() / l.o.BatchSize
	}
	return (l.src.Len() + l.o.BatchSize - 1) / l.o.BatchSize
}

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

// Sample draws one sample as the epoch draws it, into pixels (H, W, C), and returns its label.
func (l *Loader) Sample(epoch, index int, pixels []uint8) (label int32, err error) {
	if want := l.h * l.w * l.c; len(pixels) != want {
		return 0, fmt.Errorf("sample %d: %d bytes for an image of %d", index, len(pixels), want)
	}
	return l.newReader().read(epoch, index, pixels)
}

// order lists the samples of an epoch.
func (l *Loader) order(epoch int) []int {
	if l.o.Train {
		return permutation(l.o.Seed, epoch, l.src.Len())
	}
	order := make([]int, l.src.Len())
	for i := range order {
		order[i] = i
	}
	return order
}

// reader reads and augments samples; one goroutine at a time may use it.
type reader struct {
	*Loader
	random *stream
	before []uint8 // (H, W, C), the image before cropping
}

func (l *Loader) newReader() *reader {
	r := &reader{Loader: l, random: newStream()}
	if l.o.Augment.Pad > 0 {
		r.before = make([]uint8, l.h*l.w*l.c)
	}
	return r
}

func (r *reader) read(epoch, index int, pixels []uint8) (int32, error) {
	a, into := r.o.Augment, pixels
	if a.Pad > 0 {
		into = r.before
	}
	label, err := r.src.Read(index, into)
	if err != nil {
		return 0, fmt.Errorf("sample %d: %w", index, err)
	}
	if a == (Augment{}) {
		return label, nil
	}
	r.random.seek(r.o.Seed, epoch, index, forAugment)
	d := a.draw(r.random)
	if a.Pad > 0 {
		crop(pixels, into, r.h, r.w, r.c, a.Pad, d)
	}
	if d.flip {
		mirror(pixels, r.h, r.w, r.c)
	}
	return label, nil
}
