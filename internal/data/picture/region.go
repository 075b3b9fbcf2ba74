package picture

import (
	"image"
	"image/color"
)

// region is a part of a picture: rows of interleaved bytes, 1 channel for grey or 3 for RGB.
type region struct {
	pixels   []uint8 // from the first pixel on, with slack behind the last
	stride   int     // bytes from one row to the next
	channels int
}

// toGrey turns RGB into luma in place, as Pillow's convert("L") does: Rec. 601 in 16-bit fixed point.
func (r *region) toGrey(w, h int) {
	for y := range h {
		row := r.pixels[y*r.stride : y*r.stride+3*w]
		for x := range w {
			red, green, blue := uint32(row[3*x]), uint32(row[3*x+1]), uint32(row[3*x+2])
			row[x] = uint8((19595*red + 38470*green + 7471*blue + 1<<15) >> 16)
		}
	}
	r.channels = 1
}

// fill takes the part at of an image, which counts from the corner of the picture. Alpha is dropped, of 16 bits the upper 8
// are kept.
func (r *region) fill(m image.Image, at image.Rectangle) {
	switch m := m.(type) {
	case *image.Gray:
		r.copy(at, m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):], m.Stride, 1, []int{0})
	case *image.Gray16:
		r.copy(at, m.Pix, m.Stride, 2, []int{0})
	case *image.RGBA:
		r.copy(at, m.Pix, m.Stride, 4, []int{0, 1, 2})
	case *image.NRGBA:
		r.copy(at, m.Pix, m.Stride, 4, []int{0, 1, 2})
	case *image.RGBA64:
		r.copy(at, m.Pix, m.Stride, 8, []int{0, 2, 4})
	case *image.NRGBA64:
		r.copy(at, m.Pix, m.Stride, 8, []int{0, 2, 4})
	case *image.Paletted:
		r.lookUp(at, m)
	case *image.YCbCr:
		r.fromVP8(at, m)
	}
}

// copy takes of each pixel of so many bytes those at offsets.
func (r *region) copy(at image.Rectangle, pixels []uint8, stride, size int, offsets []int) {
	for y := range at.Dy() {
		in := pixels[(at.Min.Y+y)*stride+at.Min.X*size:]
		out := r.pixels[y*r.stride:]
		for x := range at.Dx() {
			for i, offset := range offsets {
				out[x*len(offsets)+i] = in[x*size+offset]
			}
		}
	}
}

// lookUp takes the colours of a palette. What a GIF's first frame leaves free is of its transparent colour, which Go makes
// black, else of its first one.
func (r *region) lookUp(at image.Rectangle, m *image.Paletted) {
	colours := make([]color.NRGBA, len(m.Palette))
	outside := 0
	for i, c := range m.Palette {
		colours[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
		if colours[i].A == 0 {
			outside = i
		}
	}
	for y := range at.Dy() {
		out := r.pixels[y*r.stride:]
		for x := range at.Dx() {
			index := outside
			if p := at.Min.Add(image.Pt(x, y)); p.In(m.Rect) {
				index = int(m.ColorIndexAt(p.X, p.Y))
			}
			c := colours[index]
			out[3*x], out[3*x+1], out[3*x+2] = c.R, c.G, c.B
		}
	}
}
