// Package data turns a data set into batches. A Source gives random access to samples; the order
// of an epoch is a pure function of seed and epoch; the changes to an image are a pure function of
// seed, epoch and index. So what a Loader yields does not depend on how many workers fill its
// batches, and an epoch can be entered at any batch.
//
//	src, err := data.OpenFashionMNIST(dir, data.Train)
//	loader, err := data.NewLoader(src, data.LoaderOptions{BatchSize: 128, Train: true, Augment: data.Augment{Pad: 2, Flip: true}})
//	it := loader.Epoch(ctx, 0, 0)
//	defer it.Close()
//	for {
//		b, err := it.Next() // io.EOF at the end
//		// use b, then
//		it.Recycle(b)
//	}
package data

import "errors"

// ErrBadData is wrapped by every error about the content or the absence of a file.
var ErrBadData = errors.New("bad data")

// Split is a part of a data set.
type Split int

// The parts of a data set.
const (
	Train Split = iota
	Test
)

// String is "train" or "test".
func (s Split) String() string {
	if s == Train {
		return "train"
	}
	return "test"
}

// Source gives random access to the labelled images of a data set, all of one shape.
// Its methods may be called from many goroutines at once.
type Source interface {
	// Len is the number of samples.
	Len() int
	// Shape is the height, width and channels of every image.
	Shape() (h, w, c int)
	// Classes names the classes in the order of their labels.
	Classes() []string
	// Read writes the image of sample i, (H, W, C), to all of pixels and returns its label, which
	// lies within Classes. An error names the file, or the source where there is no file.
	Read(i int, pixels []uint8) (label int32, err error)
}
