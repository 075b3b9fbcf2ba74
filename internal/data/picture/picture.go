// Package picture turns the bytes of an encoded image into the pixels that a network takes: of the size wanted, RGB or
// grey. It agrees with Pillow 13 to the bit, so that networks trained elsewhere see here what they saw there. Of a JPEG
// only the rows and columns that are needed are decoded.
//
//	h, err := picture.ReadHeader(b)
//	v := picture.EvalView(h.Width, h.Height, 224, 0.875, false)
//	var d picture.Decoder
//	err = d.Decode(b, v, 3, pixels) // (224, 224, 3)
//
// Colours are those of Pillow's convert("RGB"): alpha is dropped, CMYK in a JPEG is Adobe's inverted one. It differs from
// Pillow in that the transparent colour of a GIF is black, and 16-bit grey keeps its upper 8 bits where Pillow clips. The
// orientation that EXIF data asks for is ignored, as peers ignore it.
package picture

import (
	"fmt"
	"image"
)

// View says what becomes of a picture: Box, in pixels of the picture, is resized to W x H as if there were nothing around
// it, and of the result Window is kept.
type View struct {
	Box     image.Rectangle
	W, H    int
	Window  image.Rectangle // within W x H
	Bicubic bool            // filter bicubically, not bilinearly; both widen with the scale when shrinking, as Pillow's
	Fast    bool            // decode a JPEG at 1/2, 1/4 or 1/8 of its size where that is no smaller than W x H: for training
}

// check says why v cannot be a view of a picture.
func (v View) check(h Header) error {
	if v.Box.Empty() || !v.Box.In(image.Rect(0, 0, h.Width, h.Height)) || v.Window.Empty() || !v.Window.In(image.Rect(0, 0, v.W, v.H)) {
		return fmt.Errorf("no view of %dx%d pixels: %+v", h.Width, h.Height, v)
	}
	return nil
}

// reduce is the factor by which a JPEG may be decoded smaller.
func (v View) reduce(h Header) int {
	reduce := 1
	for v.Fast && h.Format == "jpeg" && reduce < 8 && v.Box.Dx() >= 2*reduce*v.W && v.Box.Dy() >= 2*reduce*v.H {
		reduce *= 2
	}
	return reduce
}

// columnsFirst is the rule by which Pillow, from its release 13 on, filters columns before rows.
func (v View) columnsFirst() bool {
	fewer := v.Box.Dy() - v.H
	return fewer > 0 && fewer > 2*(v.Box.Dx()-v.W)
}

// EvalView shows the centre of a picture of width x height pixels, as peers evaluate: torchvision's Resize of the shorter
// side to floor(size / cropFraction), the longer one rounded down, then its CenterCrop to size x size, whose corner is rounded to
// even. cropFraction is in (0, 1]; ImageNet's usual 0.875 crops 224 from 256.
func EvalView(width, height, size int, cropFraction float64, bicubic bool) View {
	short := int(float64(size) / cropFraction)
	v := View{Box: image.Rect(0, 0, width, height), W: short, H: short, Bicubic: bicubic}
	if width < height {
		v.H = short * height / width
	} else {
		v.W = short * width / height
	}
	corner := image.Pt(halfToEven(v.W-size), halfToEven(v.H-size))
	v.Window = image.Rectangle{corner, corner.Add(image.Pt(size, size))}
	return v
}

// All shows all of a picture of width x height pixels as w x h, filtered bilinearly.
func All(width, height, w, h int) View {
	return View{Box: image.Rect(0, 0, width, height), W: w, H: h, Window: image.Rect(0, 0, w, h)}
}

// halfToEven is n / 2, rounded to even where it ends in a half.
func halfToEven(n int) int { return (n + n>>1&1) >> 1 }
