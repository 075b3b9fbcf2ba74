package data

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // the formats that DecodeFile knows
	_ "image/jpeg"
	_ "image/png"
	"io"
	"math"
	"os"

	"golang.org/x/image/draw"
)

// Limits on image files, checked before anything is allocated for pixels.
const (
	maxImageBytes  = 64 << 20
	maxImageSide   = 16384
	maxImagePixels = 80_000_000
)

// View is how the pixels of an image file of any size become the input of a network.
type View struct {
	H, W, C      int     // pixels; C is 3 for RGB or 1 for grey
	CropFraction float64 // of the image's shorter side that the centred crop shows, in (0, 1]; ImageNet's usual 0.875 is 224 of 256
	Bilinear     bool    // filter bilinearly, not bicubically; both antialias when shrinking
}

// DecodeFile reads a JPEG, PNG or GIF file (its first frame) as (H, W, C) uint8: the centred crop, resized. Transparent parts
// become black. Errors about the file wrap ErrBadData and name it.
func DecodeFile(path string, v View) (pixels []uint8, err error) {
	if v.H < 1 || v.W < 1 || v.C != 1 && v.C != 3 || !(v.CropFraction > 0 && v.CropFraction <= 1) {
		return nil, fmt.Errorf("decode %s: cannot make %+v", path, v)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: %s: %w", ErrBadData, path, err)
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if info.Size() > maxImageBytes {
		return nil, fmt.Errorf("file of %d bytes, more than the %d allowed", info.Size(), maxImageBytes)
	}
	m, err := decode(f)
	if err != nil {
		return nil, err
	}
	return channels(v.crop(m), v.C), nil
}

// decode reads the header, and the pixels only if they are not too many.
func decode(r io.ReadSeeker) (image.Image, error) {
	cfg, _, err := image.DecodeConfig(bufio.NewReader(r))
	if errors.Is(err, image.ErrFormat) {
		return nil, errors.New("not a JPEG, PNG or GIF image")
	}
	if err != nil {
		return nil, fmt.Errorf("image header: %w", err)
	}
	if cfg.Width < 1 || cfg.Height < 1 {
		return nil, fmt.Errorf("image of %dx%d pixels is empty", cfg.Width, cfg.Height)
	}
	if max(cfg.Width, cfg.Height) > maxImageSide || cfg.Width*cfg.Height > maxImagePixels {
		return nil, fmt.Errorf("image of %dx%d pixels, more than the %d a side and %d in all allowed", cfg.Width, cfg.Height, maxImageSide, maxImagePixels)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	m, _, err := image.Decode(bufio.NewReader(r))
	if err != nil {
		return nil, fmt.Errorf("image of %dx%d pixels: %w", cfg.Width, cfg.Height, err)
	}
	if m.Bounds().Empty() {
		return nil, errors.New("first frame is empty")
	}
	return m, nil
}

// crop resizes the centred part of m that has the target's aspect ratio. That is the same as resizing all of m and then
// cropping, up to half a pixel of m, and does not filter what is cropped.
func (v View) crop(m image.Image) *image.RGBA {
	b, w, h := m.Bounds(), float64(v.W), float64(v.H)
	resized := math.Floor(w / v.CropFraction)                        // width of what peers crop from: 224 at 0.95 from 235
	scale := w / resized * min(float64(b.Dx())/w, float64(b.Dy())/h) // pixels of m for one of the target
	cw, ch := max(1, int(math.Round(scale*w))), max(1, int(math.Round(scale*h)))
	filter := draw.CatmullRom
	if v.Bilinear {
		filter = draw.BiLinear
	}
	corner := b.Min.Add(image.Pt((b.Dx()-cw)/2, (b.Dy()-ch)/2))
	out := image.NewRGBA(image.Rect(0, 0, v.W, v.H))
	filter.Scale(out, out.Rect, m, image.Rectangle{corner, corner.Add(image.Pt(cw, ch))}, draw.Src, nil)
	return out
}

// channels drops alpha, which leaves m on black because its colours are premultiplied, and for c = 1 keeps only luma.
func channels(m *image.RGBA, c int) []uint8 {
	n := m.Rect.Dx() * m.Rect.Dy()
	pixels := make([]uint8, 0, n*c)
	for i := range n {
		rgb := m.Pix[4*i : 4*i+3]
		if c == 3 {
			pixels = append(pixels, rgb...)
			continue
		}
		// Rec. 601 in 16-bit fixed point, rounded: the weights add up to 65536, so grey stays as it is.
		pixels = append(pixels, uint8((19595*uint32(rgb[0])+38470*uint32(rgb[1])+7471*uint32(rgb[2])+1<<15)>>16))
	}
	return pixels
}
