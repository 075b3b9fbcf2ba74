package picture

// #include "resample.h"
import "C"

import (
	"bytes"
	"fmt"
	"image"
	"image/gif"
	"image/png"
	"unsafe"
)

// slack is how many bytes the kernels may read beyond pixels: fewer than 8 inputs, and what is left of a register.
const slack = 64

// Decoder decodes pictures one after the other and keeps its buffers. Its zero value is ready; it is for one goroutine at a time.
type Decoder struct {
	jpeg    jpegDecoder
	x, y    axis
	source  []uint8 // the part of the picture that the view reads
	between []uint8 // of it, filtered in one direction
	grey    []uint8 // the result, where it is grey and RGB is wanted
}

// Decode writes the view v of the encoded image b to all of dst, (v.Window's height, its width, c) bytes; c is 3 for RGB or 1
// for grey, which is ITU-R 601 luma. Errors say what is wrong with b.
func (d *Decoder) Decode(b []byte, v View, c int, dst []uint8) error {
	h, err := ReadHeader(b)
	if err != nil {
		return err
	}
	if err := v.check(h); err != nil {
		return err
	}
	if n := v.Window.Dx() * v.Window.Dy() * c; c != 1 && c != 3 || len(dst) != n {
		return fmt.Errorf("picture of %d channels in %d bytes, want 1 or 3 in %d", c, len(dst), n)
	}
	reduce := v.reduce(h)
	needed := d.plan(v, reduce)
	var r region
	if h.Format == "jpeg" {
		r, err = d.jpeg.region(b, h, needed, reduce, &d.source)
	} else {
		r, err = d.whole(b, h, needed)
	}
	if err != nil {
		return err
	}
	switch {
	case r.channels == c:
		d.resize(r, v.columnsFirst(), dst)
	case c == 1:
		r.toGrey(needed.Dx(), needed.Dy())
		d.resize(r, v.columnsFirst(), dst)
	default:
		d.grey = grow(d.grey, len(dst)/3)
		d.resize(r, v.columnsFirst(), d.grey)
		for i, v := range d.grey {
			dst[3*i], dst[3*i+1], dst[3*i+2] = v, v, v
		}
	}
	return nil
}

// plan prepares to filter v, of a picture that is then reduced, and returns the part of it that is needed.
func (d *Decoder) plan(v View, reduce int) image.Rectangle {
	filter := bilinear
	if v.Bicubic {
		filter = bicubic
	}
	d.x.plan(filter, v.Box.Min.X, v.Box.Max.X, reduce, v.W, v.Window.Min.X, v.Window.Max.X)
	d.y.plan(filter, v.Box.Min.Y, v.Box.Max.Y, reduce, v.H, v.Window.Min.Y, v.Window.Max.Y)
	return image.Rect(d.x.from, d.y.from, d.x.to, d.y.to)
}

// Resize is Decode of an image whose pixels are there: (height, width, c) bytes of a picture that h describes.
func (d *Decoder) Resize(pixels []uint8, h Header, v View, c int, dst []uint8) error {
	if err := v.check(h); err != nil {
		return err
	}
	if n := v.Window.Dx() * v.Window.Dy() * c; c != 1 && c != 3 || len(dst) != n || len(pixels) != h.Width*h.Height*c {
		return fmt.Errorf("picture of %d channels in %d bytes to %d, want 1 or 3, %d and %d", c, len(pixels), len(dst), h.Width*h.Height*c, n)
	}
	needed := d.plan(v, 1)
	stride := h.Width * c
	d.source = grow(d.source, len(pixels)+stride+slack)
	copy(d.source, pixels)
	d.resize(region{d.source[needed.Min.Y*stride+needed.Min.X*c:], stride, c}, v.columnsFirst(), dst)
	return nil
}

// whole decodes all of an image by Go's libraries and takes the part that is needed.
func (d *Decoder) whole(b []byte, h Header, needed image.Rectangle) (region, error) {
	var m image.Image
	var err error
	switch r := bytes.NewReader(b); h.Format {
	case "png":
		m, err = png.Decode(r)
	case "gif":
		m, err = gif.Decode(r)
	default:
		var frame webpFrame
		if frame, err = openWebP(b); err == nil {
			m, err = frame.decode()
		}
	}
	if err != nil {
		return region{}, fmt.Errorf("%s image of %dx%d pixels: %w", h.Format, h.Width, h.Height, err)
	}
	channels := 3
	switch m.(type) {
	case *image.Gray, *image.Gray16:
		channels = 1
	}
	d.source = grow(d.source, needed.Dx()*(needed.Dy()+1)*channels+slack)
	r := region{d.source, needed.Dx() * channels, channels}
	r.fill(m, needed)
	return r, nil
}

// resize filters a region along x, then along y, with rounding to bytes in between; or the other way round where Pillow, from its
// release 13 on, does so because it is faster.
func (d *Decoder) resize(r region, columnsFirst bool, out []uint8) {
	step := 4
	if r.channels == 1 {
		step = 8
	}
	d.x.fill(step)
	d.y.fill(2)
	height, width := d.y.to-d.y.from, (d.x.to-d.x.from)*r.channels
	if columnsFirst {
		d.between = grow(d.between, d.y.n*width+slack)
		d.y.columns(r.pixels, r.stride, width, d.between)
		d.x.rows(d.between, width, d.y.n, r.channels, out)
		return
	}
	width = d.x.n * r.channels
	d.between = grow(d.between, (height+1)*width+slack) // one more, for y's last step
	d.x.rows(r.pixels, r.stride, height, r.channels, d.between)
	d.y.columns(d.between, width, width, out)
}

// rows filters so many rows of in along x to out, which has no gaps.
func (a *axis) rows(in []uint8, stride, height, channels int, out []uint8) {
	C.senet_resample_rows(a.c(), C.int(channels), C.int(height), pointer(in), C.size_t(stride), pointer(out))
}

// columns filters rows of in, of so many bytes, along y to out, which has no gaps.
func (a *axis) columns(in []uint8, stride, width int, out []uint8) {
	C.senet_resample_columns(a.c(), C.size_t(width), pointer(in), C.size_t(stride), pointer(out))
}

func (a *axis) c() C.senet_axis {
	return C.senet_axis{
		n: C.int(a.n), taps: C.int(a.taps),
		first: (*C.int32_t)(unsafe.SliceData(a.first)), weights: (*C.int16_t)(unsafe.SliceData(a.weights)),
	}
}
