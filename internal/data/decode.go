package data

import (
	"fmt"

	"senet/internal/data/picture"
)

// maxImageBytes is the most that an image file may have.
const maxImageBytes = picture.MaxBytes

// View is how the pixels of an image file of any size become the input of a network.
type View struct {
	H, W, C      int     // pixels; C is 3 for RGB or 1 for grey
	CropFraction float64 // of the image's shorter side that the centred crop shows, in (0, 1]; ImageNet's usual 0.875 is 224 of 256
	Bilinear     bool    // filter bilinearly, not bicubically; both antialias when shrinking
}

// check says why an image cannot be evaluated in v.
func (v View) check() error {
	if v.H < 1 || v.W != v.H || v.C != 1 && v.C != 3 || !(v.CropFraction > 0 && v.CropFraction <= 1) {
		return fmt.Errorf("cannot make %+v, want a square of 1 or 3 channels and a fraction up to 1", v)
	}
	return nil
}

// DecodeFile reads a JPEG, PNG, GIF or WebP file as (H, W, C) uint8 of a square: the centred crop, resized, as [picture.EvalView] says.
// Errors about the file wrap ErrBadData and name it.
func DecodeFile(path string, v View) ([]uint8, error) {
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("decode %s: %w", path, err)
	}
	var p pixelReader
	pixels := make([]uint8, v.H*v.W*v.C)
	b, err := readImageFile(path, nil)
	if err == nil {
		err = p.load(b)
	}
	if err == nil {
		err = p.centre(v, pixels)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadData, path, err)
	}
	return pixels, nil
}
