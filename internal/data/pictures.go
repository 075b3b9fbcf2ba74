package data

import (
	"fmt"
	"sync"
)

// Pictures is the Source of an index's images. They may be of any size: Read shows the view of an evaluation, and a
// training [Loader] draws a random part of each.
type Pictures struct {
	*Index
	view    View
	readers sync.Pool // of *pictureReader
}

// NewPictures makes the images of ix a source of images as view says.
func NewPictures(ix *Index, view View) (*Pictures, error) {
	if err := view.check(); err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	s := &Pictures{Index: ix, view: view}
	s.readers.New = func() any { return s.newReader() }
	return s, nil
}

// Shape is the view's.
func (s *Pictures) Shape() (h, w, c int) { return s.view.H, s.view.W, s.view.C }

// Read decodes image i as it is evaluated: resized and cropped at the centre.
func (s *Pictures) Read(i int, pixels []uint8) (int32, error) {
	h, w, c := s.Shape()
	if i < 0 || i >= s.Len() || len(pixels) != h*w*c {
		return 0, fmt.Errorf("read %s: image %d of %d to %d bytes, want %d", s.dir, i, s.Len(), len(pixels), h*w*c)
	}
	r := s.readers.Get().(*pictureReader)
	defer s.readers.Put(r)
	return s.Label(i), r.centre(i, pixels)
}

// pictureReader decodes images of a source; one goroutine at a time may use it.
type pictureReader struct {
	source  *Pictures
	view    View
	decoder *pixelReader
	encoded []byte
}

func (s *Pictures) newReader() *pictureReader {
	return &pictureReader{source: s, view: s.view, decoder: &pixelReader{}}
}

// load reads image i and looks at its header.
func (r *pictureReader) load(i int) error {
	b, err := r.source.ReadFile(i, r.encoded)
	if err != nil {
		return err
	}
	r.encoded = b
	return r.named(i, r.decoder.load(b))
}

// centre draws image i as it is evaluated.
func (r *pictureReader) centre(i int, pixels []uint8) error {
	if err := r.load(i); err != nil {
		return err
	}
	return r.named(i, r.decoder.centre(r.view, pixels))
}

// crop draws a random part of image i.
func (r *pictureReader) crop(i int, random *stream, minScale float64, pixels []uint8) error {
	if err := r.load(i); err != nil {
		return err
	}
	box := randomCrop(random.rand, r.decoder.width, r.decoder.height, minScale)
	return r.named(i, r.decoder.part(box, r.view, true, pixels))
}

// named says which image cannot be decoded.
func (r *pictureReader) named(i int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrBadData, r.source.Name(i), err)
}
