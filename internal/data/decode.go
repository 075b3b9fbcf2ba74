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

// DecodeFile reads a JPEG, PNG or GIF file (its first frame) as (H, W, C) uint8. The image is resized
// so that it just covers h by w pixels, with bicubic filtering that antialiases when shrinking,
// and cropped at the centre. c is 3 for RGB or 1 for grey; transparent parts become black. Errors about the
// file wrap ErrBadData and name it.
func DecodeFile(path string, h, w, c int) (pixels []uint8, err error) {
	if h < 1 || w < 1 || c != 1 && c != 3 {
		return nil, fmt.Errorf("decode %s: cannot make %dx%d pixels of %d channels", path, h, w, c)
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
	return channels(cover(m, h, w), c), nil
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

// cover resizes the largest centred part of m that has the target's aspect ratio. That is the same as
// resizing all of m and then cropping, up to half a pixel of m, and does not filter what is cropped.
func cover(m image.Image, h, w int) *image.RGBA {
	b := m.Bounds()
	cw, ch := b.Dx(), b.Dy()
	if cw*h > ch*w {
		cw = max(1, int(math.Round(float64(ch)*float64(w)/float64(h))))
	} else {
		ch = max(1, int(math.Round(float64(cw)*float64(h)/float64(w))))
	}
	corner := b.Min.Add(image.Pt((b.Dx()-cw)/2, (b.Dy()-ch)/2))
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(out, out.Rect, m, image.Rectangle{corner, corner.Add(image.Pt(cw, ch))}, draw.Src, nil)
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
