package data

import (
	"image"

	"senet/internal/data/picture"
)

// pixelReader decodes images; one goroutine at a time may use it.
type pixelReader struct {
	picture.Decoder
	encoded       []byte
	width, height int
}

// load looks at an encoded image, which it keeps.
func (p *pixelReader) load(encoded []byte) error {
	h, err := picture.ReadHeader(encoded)
	if err != nil {
		return err
	}
	p.encoded, p.width, p.height = encoded, h.Width, h.Height
	return nil
}

// centre draws the loaded image as it is evaluated; v is a square.
func (p *pixelReader) centre(v View, pixels []uint8) error {
	return p.Decode(p.encoded, picture.EvalView(p.width, p.height, v.H, v.CropFraction, !v.Bilinear), v.C, pixels)
}

// part draws a part of the loaded image as large as v. With fast, a JPEG may be decoded at a fraction of its size.
func (p *pixelReader) part(box image.Rectangle, v View, fast bool, pixels []uint8) error {
	all := image.Rect(0, 0, v.W, v.H)
	return p.Decode(p.encoded, picture.View{Box: box, W: v.W, H: v.H, Window: all, Bicubic: !v.Bilinear, Fast: fast}, v.C, pixels)
}

// all is the whole of the loaded image.
func (p *pixelReader) all() image.Rectangle { return image.Rect(0, 0, p.width, p.height) }
