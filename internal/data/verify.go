package data

import (
	"context"
	"sync"
)

// Verify decodes every image of ix once, from as many goroutines as workers says, 0 for one per processor. It returns the errors of
// those that cannot be decoded, in the order of the images; each names its file. done, if not nil, is told now and then how many
// are through.
func Verify(ctx context.Context, ix *Index, workers int, done func(n int)) (bad []error, err error) {
	src, err := NewPictures(ix, View{H: 1, W: 1, C: 3, CropFraction: 1})
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	count := 0
	failed := map[int]error{}
	err = eachOf(ctx, ix.Len(), workers, func() func(int) error {
		r := src.newReader()
		return func(i int) error {
			err := r.whole(i)
			mu.Lock()
			defer mu.Unlock()
			if count++; done != nil && count%1024 == 0 {
				done(count)
			}
			if err != nil {
				failed[i] = err
			}
			return nil
		}
	})
	for i := range ix.Len() {
		if failed[i] != nil {
			bad = append(bad, failed[i])
		}
	}
	return bad, err
}

// whole decodes every pixel of image i.
func (r *pictureReader) whole(i int) error {
	if err := r.load(i); err != nil {
		return err
	}
	var pixel [3]uint8
	return r.named(i, r.decoder.part(r.decoder.all(), r.source.view, false, pixel[:]))
}
