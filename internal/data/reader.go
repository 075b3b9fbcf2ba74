package data

import (
	"fmt"

	"senet/internal/data/picture"
)

// reader reads and augments samples; one goroutine at a time may use it.
type reader struct {
	*Loader
	random *stream
	files  *pictureReader // if the source is one of pictures
	before []uint8        // the source's (H, W, C), the image before cropping; nil without padding
	whole  []uint8        // the same after crop and flip, before resizing; nil where the loader has the source's size
	resize picture.Decoder
	change PixelChange // or nil
}

func (l *Loader) newReader() *reader {
	r := &reader{Loader: l, random: newStream()}
	if l.pictures != nil {
		r.files = l.pictures.newReader()
		r.files.view.H, r.files.view.W = l.h, l.w
	}
	if l.o.Augment.Pixels != nil {
		r.change = l.o.Augment.Pixels()
	}
	h, w, c := l.src.Shape()
	if l.o.Augment.Pad > 0 {
		r.before = make([]uint8, h*w*c)
	}
	if l.pictures == nil && (h != l.h || w != l.w) {
		r.whole = make([]uint8, h*w*c)
	}
	return r
}

// read writes the pixels of a sample, which depend on seed, epoch and p alone, and returns its label.
func (r *reader) read(epoch int, p pick, pixels []uint8) (int32, error) {
	label, err := r.drawSized(epoch, p, pixels)
	if err != nil {
		return 0, fmt.Errorf("sample %d: %w", p.index, err)
	}
	if r.change != nil {
		r.seek(epoch, p, forPixels)
		r.change(r.random.rand, pixels, r.h, r.w, r.c)
	}
	return label, nil
}

func (r *reader) seek(epoch int, p pick, use purpose) {
	r.random.seek(r.o.Seed, epoch, p.index, use+purpose(p.copy)<<32)
}

// drawSized is draw at the loader's size.
func (r *reader) drawSized(epoch int, p pick, pixels []uint8) (int32, error) {
	if r.whole == nil {
		return r.draw(epoch, p, r.h, r.w, pixels)
	}
	h, w, c := r.src.Shape()
	label, err := r.draw(epoch, p, h, w, r.whole)
	if err != nil {
		return 0, err
	}
	return label, r.resize.Resize(r.whole, picture.Header{Width: w, Height: h}, picture.All(w, h, r.w, r.h), c, pixels)
}

// draw crops and mirrors to pixels (h, w, C).
func (r *reader) draw(epoch int, p pick, h, w int, pixels []uint8) (label int32, err error) {
	a, into := r.o.Augment, pixels
	switch {
	case r.substitutes != nil:
		label, err = r.crop(epoch, p, pixels)
	case r.pictures != nil:
		label, err = r.pictures.Label(p.index), r.files.centre(p.index, pixels)
	default:
		if a.Pad > 0 {
			into = r.before
		}
		label, err = r.src.Read(p.index, into)
	}
	if err != nil || !a.Flip && a.Pad == 0 {
		return label, err
	}
	r.seek(epoch, p, forAugment)
	d := a.draw(r.random)
	if a.Pad > 0 {
		crop(pixels, into, h, w, r.c, a.Pad, d)
	}
	if d.flip {
		mirror(pixels, h, w, r.c)
	}
	return label, nil
}

// crop draws a random part of an image file, or of the one that stands in for it.
func (r *reader) crop(epoch int, p pick, pixels []uint8) (int32, error) {
	index := p.index
	for try := 1; ; try++ {
		r.seek(epoch, p, forCrop)
		err := r.files.crop(index, r.random, r.o.Augment.MinScale, pixels)
		if err == nil {
			return r.pictures.Label(p.index), nil
		}
		if err := r.substitutes.note(index, err); err != nil {
			return 0, err
		}
		var ok bool
		if index, ok = r.substitutes.of(p.index, try); !ok {
			return 0, fmt.Errorf("no other image of the class can be read: %w", err)
		}
	}
}
