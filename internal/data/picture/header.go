package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/png"
)

// Limits on images, checked before memory is taken for their pixels.
const (
	MaxBytes  = 64 << 20   // of a file
	MaxSide   = 16384      // pixels
	MaxPixels = 80_000_000 // more than ImageNet's largest image has
	maxScans  = 100        // of a JPEG: each goes over all of its pixels
)

// Header is what an encoded image says of itself.
type Header struct {
	Width, Height int    // pixels
	Format        string // jpeg, png, gif or webp
}

// ReadHeader finds out the format of an image from its content and reads its size. Its errors say what is wrong with the
// content, or which limit it exceeds.
func ReadHeader(b []byte) (Header, error) {
	if len(b) > MaxBytes {
		return Header{}, fmt.Errorf("image of %d bytes, more than the %d allowed", len(b), MaxBytes)
	}
	h, densest, err := sniff(b)
	if err != nil {
		return Header{}, err
	}
	if h.Width < 1 || h.Height < 1 {
		return Header{}, fmt.Errorf("%s image of %dx%d pixels is empty", h.Format, h.Width, h.Height)
	}
	if max(h.Width, h.Height) > MaxSide || h.Width*h.Height > MaxPixels {
		return Header{}, fmt.Errorf("%s image of %dx%d pixels, more than the %d a side and %d in all allowed",
			h.Format, h.Width, h.Height, MaxSide, MaxPixels)
	}
	if densest > 0 && h.Width*h.Height/densest > len(b) {
		return Header{}, fmt.Errorf("%s image of %dx%d pixels is truncated: %d bytes cannot hold them", h.Format, h.Width, h.Height, len(b))
	}
	return h, nil
}

// sniff reads a header without judging it. densest is the most pixels that one byte can stand for, 0 for no limit.
func sniff(b []byte) (h Header, densest int, err error) {
	var config image.Config
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		s, err := scanJPEG(b, false)
		// A block of 8 x 8 pixels takes a bit or more, a Huffman code.
		return Header{s.width, s.height, "jpeg"}, 512, err
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		h.Format, densest = "png", 1032*8 // deflate repeats up to 1032 bytes for one; pixels have a bit or more
		config, err = png.DecodeConfig(bytes.NewReader(b))
	case bytes.HasPrefix(b, []byte("GIF8")):
		h.Format, densest = "gif", 4096*8/9 // LZW's longest string in its shortest late code
		config, err = gif.DecodeConfig(bytes.NewReader(b))
	case bytes.HasPrefix(b, []byte("RIFF")) && bytes.HasPrefix(b[min(8, len(b)):], []byte("WEBP")):
		h.Format = "webp"
		var frame webpFrame
		if frame, err = openWebP(b); err == nil {
			config, err = frame.config()
		}
	default:
		return Header{}, 0, errors.New("not a JPEG, PNG, GIF or WebP image")
	}
	if err != nil {
		return Header{}, 0, fmt.Errorf("%s header: %w", h.Format, err)
	}
	h.Width, h.Height = config.Width, config.Height
	return h, densest, nil
}
