package data

import (
	"bytes"
	"image"
	"image/jpeg"
)

// encodeJPEG encodes pixels (H, W, 3).
func encodeJPEG(pixels []uint8, w, h, quality int) ([]byte, error) {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(m.Pix[4*i:], pixels[3*i:3*i+3])
		m.Pix[4*i+3] = 255
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
