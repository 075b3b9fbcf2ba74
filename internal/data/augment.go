package data

import "math/rand/v2"

// Augment is the random changes to training images. The zero value changes nothing.
type Augment struct {
	Pad      int     // pixels of black around the image before it is cropped to its size at a random place; not for [Pictures]
	Flip     bool    // mirror half of the images left to right
	MinScale float64 // smallest share of the area of [Pictures] that a crop shows, in (0, 1]; ImageNet's usual is 0.08
	// Pixels, if not nil, makes what is done to the cropped and mirrored images, once for each goroutine.
	Pixels func() PixelChange
}

// PixelChange changes the pixels (H, W, C) of a training image in place. All that it draws comes from r, which depends on the
// run's seed, the epoch and the sample alone.
type PixelChange func(r *rand.Rand, pixels []uint8, h, w, c int)

// change is what is done to one image.
type change struct {
	flip   bool
	dy, dx int // the crop's corner in the padded image, 0 to 2*Pad
}

// draw takes the same numbers from s whatever is switched on, so flips do not depend on Pad.
func (a Augment) draw(s *stream) change {
	flip := s.rand.Uint64()&1 == 1
	return change{flip: flip && a.Flip, dy: s.rand.IntN(2*a.Pad + 1), dx: s.rand.IntN(2*a.Pad + 1)}
}

// crop writes src, moved by (dy, dx) after padding with black, to dst; both are (H, W, C).
func crop(dst, src []uint8, h, w, c, pad int, d change) {
	down, right := d.dy-pad, d.dx-pad // dst's (y, x) is src's (y+down, x+right)
	row := w * c
	from, to := max(0, -right)*c, (w-max(0, right))*c // of a row of dst that src covers
	for y := range h {
		out := dst[y*row : (y+1)*row]
		if y+down < 0 || y+down >= h {
			clear(out)
			continue
		}
		clear(out[:from])
		copy(out[from:to], src[(y+down)*row+max(0, right)*c:])
		clear(out[to:])
	}
}

// mirror swaps left and right of an image (H, W, C) in place.
func mirror(pixels []uint8, h, w, c int) {
	for y := range h {
		row := pixels[y*w*c : (y+1)*w*c]
		for l, r := 0, (w-1)*c; l < r; l, r = l+c, r-c {
			for i := range c {
				row[l+i], row[r+i] = row[r+i], row[l+i]
			}
		}
	}
}
