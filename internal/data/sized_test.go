package data

import (
	"math/rand/v2"
	"slices"
	"testing"

	"senet/internal/data/picture"
)

// TestSizedImagesAreResizedAfterCropAndFlip: bilinearly, as picture does it, and before pixels are changed.
func TestSizedImagesAreResizedAfterCropAndFlip(t *testing.T) {
	src := &fake{n: 20, h: 28, w: 28, c: 1}
	o := LoaderOptions{BatchSize: 4, Workers: 2, Seed: 5, Train: true, Repeats: 2, Augment: Augment{Pad: 3, Flip: true}}
	l := newLoader(t, src, o)
	mark := o
	mark.Augment.Pixels = func() PixelChange {
		return func(_ *rand.Rand, pixels []uint8, h, w, c int) {
			if len(pixels) != h*w*c {
				t.Errorf("%d bytes of %dx%d pixels", len(pixels), h, w)
			}
			pixels[0] ^= 255
		}
	}
	marked := newLoader(t, src, mark)
	whole := drain(t, l, 1, 0)
	var d picture.Decoder
	for _, size := range []int{20, 24, 28, 40} {
		sized := drain(t, l.Sized(size), 1, 0)
		if len(sized) != len(whole) {
			t.Fatalf("%d batches, want %d", len(sized), len(whole))
		}
		changed := drain(t, marked.Sized(size), 1, 2)
		for b, batch := range sized {
			if !slices.Equal(batch.labels, whole[b].labels) {
				t.Errorf("size %d, batch %d: labels %v, want %v", size, b, batch.labels, whole[b].labels)
			}
			for row := range 4 {
				want := make([]uint8, size*size)
				if err := d.Resize(whole[b].pixels[row*28*28:(row+1)*28*28], picture.Header{Width: 28, Height: 28}, picture.All(28, 28, size, size), 1, want); err != nil {
					t.Fatal(err)
				}
				if have := batch.pixels[row*size*size : (row+1)*size*size]; !slices.Equal(have, want) {
					t.Errorf("size %d, batch %d, row %d: %v, want %v", size, b, row, have, want)
				}
				if b < 2 {
					continue
				}
				want[0] ^= 255
				if have := changed[b-2].pixels[row*size*size : (row+1)*size*size]; !slices.Equal(have, want) {
					t.Errorf("size %d, batch %d, row %d, pixels changed: %v, want %v", size, b, row, have, want)
				}
			}
		}
	}
	if again := drain(t, l, 1, 0); !slices.EqualFunc(again, whole, content.equal) {
		t.Error("the loader itself has changed")
	}
}

// TestSizedPicturesAreCroppedToTheSize, not to another one first.
func TestSizedPicturesAreCroppedToTheSize(t *testing.T) {
	set := folderSet(t, tinyIDs, 6)
	src := newPictures(t, set, Train)
	l := newLoader(t, src, cropped(8, 2))
	for _, size := range []int{11, 16, 23} {
		view := tinyView
		view.H, view.W = size, size
		other, err := NewPictures(mustScan(t, set, Train), view)
		if err != nil {
			t.Fatal(err)
		}
		want := drain(t, newLoader(t, other, cropped(8, 1)), 3, 0)
		if have := drain(t, l.Sized(size), 3, 0); len(want) != 3 || !slices.EqualFunc(have, want, content.equal) {
			t.Errorf("size %d: %d batches, want %d of images drawn at that size", size, len(have), len(want))
		}
	}
}

func TestSizedLoadersShareWhatIsBad(t *testing.T) {
	src := newPictures(t, folderSet(t, tinyIDs, 6), Train)
	put(t, src.Name(5), nil)
	o, told := cropped(8, 1), 0
	o.Bad = func(error) { told++ }
	l := newLoader(t, src, o)
	for _, size := range []int{12, 16} {
		drain(t, l.Sized(size), 0, 0)
	}
	if told != 1 {
		t.Errorf("told %d times of the bad image, want once", told)
	}
}
