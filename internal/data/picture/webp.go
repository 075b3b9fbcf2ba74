package picture

import (
	"bytes"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/riff"
	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
)

// webpFrame is the chunk of a WebP file that holds its colours. An alpha channel and the size of the canvas lie in others,
// which do not matter here; frames of an animation lie deeper and are not found.
type webpFrame struct {
	io.Reader
	length   int
	lossless bool
}

func openWebP(b []byte) (webpFrame, error) {
	_, chunks, err := riff.NewReader(bytes.NewReader(b))
	for err == nil {
		var id riff.FourCC
		var length uint32
		var data io.Reader
		id, length, data, err = chunks.Next()
		if err == nil && (id == riff.FourCC{'V', 'P', '8', ' '} || id == riff.FourCC{'V', 'P', '8', 'L'}) {
			return webpFrame{data, int(length), id[3] == 'L'}, nil
		}
	}
	return webpFrame{}, fmt.Errorf("no still image: %w", err)
}

func (f webpFrame) config() (image.Config, error) {
	if f.lossless {
		return vp8l.DecodeConfig(f)
	}
	d := vp8.NewDecoder()
	d.Init(f, f.length)
	h, err := d.DecodeFrameHeader()
	return image.Config{Width: h.Width, Height: h.Height}, err
}

func (f webpFrame) decode() (image.Image, error) {
	if f.lossless {
		return vp8l.Decode(f)
	}
	d := vp8.NewDecoder()
	d.Init(f, f.length)
	if _, err := d.DecodeFrameHeader(); err != nil {
		return nil, err
	}
	return d.DecodeFrame()
}

// fromVP8 takes the part at of a lossy WebP picture, whose chroma is of half the size, as libwebp shows it: chroma is
// interpolated with weights 9, 3, 3 and 1 of 16, and brightness runs from 16 to 235.
func (r *region) fromVP8(at image.Rectangle, m *image.YCbCr) {
	right, bottom := (m.Rect.Dx()+1)/2-1, (m.Rect.Dy()+1)/2-1 // the last sample of chroma
	for y := at.Min.Y; y < at.Max.Y; y++ {
		near, far := nearest(y, bottom)
		near, far = near*m.CStride, far*m.CStride
		out := r.pixels[(y-at.Min.Y)*r.stride:]
		for x := at.Min.X; x < at.Max.X; x++ {
			here, beside := nearest(x, right)
			blend := func(c []uint8) int {
				return (9*int(c[near+here]) + 3*int(c[near+beside]) + 3*int(c[far+here]) + int(c[far+beside]) + 8) >> 4
			}
			i := 3 * (x - at.Min.X)
			out[i], out[i+1], out[i+2] = videoRGB(int(m.Y[y*m.YStride+x]), blend(m.Cb), blend(m.Cr))
		}
	}
}

// nearest is the sample of chroma that covers a pixel, and its next one on the pixel's side, up to the last.
func nearest(i, last int) (near, beside int) {
	near = i / 2
	return near, min(max(near+2*(i&1)-1, 0), last)
}

// videoRGB converts a colour of BT.601 in video range, in libwebp's fixed point: the products lose 8 of 14 fractional bits.
func videoRGB(y, u, v int) (red, green, blue uint8) {
	clip := func(x int) uint8 { return uint8(min(max(x>>6, 0), 255)) }
	y = y * 19077 >> 8
	return clip(y + v*26149>>8 - 14234), clip(y - u*6419>>8 - v*13320>>8 + 8708), clip(y + u*33050>>8 - 17685)
}
