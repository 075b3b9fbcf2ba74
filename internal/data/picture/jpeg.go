package picture

/*
#cgo CFLAGS: -O3 -Wall -Wextra
#cgo CXXFLAGS: -std=c++17 -O3 -mavx2 -Wall -Wextra
#cgo LDFLAGS: -l:libjpeg.a
#include "jpeg.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"image"
	"unsafe"
)

// jpegDecoder decodes JPEGs by libjpeg-turbo.
type jpegDecoder struct{ part C.senet_jpeg_part }

// region decodes the part r of a JPEG of 1/reduce of its size, into pixels if they are large enough.
func (d *jpegDecoder) region(b []byte, h Header, r image.Rectangle, reduce int, pixels *[]uint8) (region, error) {
	s, err := scanJPEG(b, true)
	if err != nil {
		return region{}, err
	}
	if s.scans > maxScans {
		return region{}, fmt.Errorf("jpeg has more than the %d scans allowed", maxScans)
	}
	d.part = C.senet_jpeg_part{width: C.int(h.Width), height: C.int(h.Height), reduce: C.int(reduce)}
	if !s.ended {
		return region{}, d.truncated(b, s)
	}
	d.part.x, d.part.y, d.part.w, d.part.h = C.int(r.Min.X), C.int(r.Min.Y), C.int(r.Dx()), C.int(r.Dy())
	// Columns are decoded in whole blocks, of up to 32 pixels, and up to two more on either side; 4 bytes each for CMYK. One
	// row more is for the columns' last step.
	capacity := (r.Dx() + 2*(32+2)) * (r.Dy() + 1) * 4
	*pixels = grow(*pixels, capacity+slack)
	if err := d.decode(b, *pixels); err != nil {
		return region{}, err
	}
	return region{(*pixels)[d.part.first:], int(d.part.stride), int(d.part.channels)}, nil
}

// truncated says how much a JPEG without an end marker lacks. Of one with many scans that would take the memory for all of
// its pixels, so there it is the scan.
func (d *jpegDecoder) truncated(b []byte, s jpegScan) error {
	if s.progressive || s.scans != 1 {
		return fmt.Errorf("jpeg is truncated: its data ends in scan %d", s.scans)
	}
	if err := d.decode(b, nil); err != nil {
		return err
	}
	return errors.New("jpeg is truncated: its end marker is missing")
}

func (d *jpegDecoder) decode(b, pixels []uint8) error {
	status := C.senet_jpeg_decode(pointer(b), C.size_t(len(b)), pointer(pixels), C.size_t(max(0, len(pixels)-slack)), &d.part)
	switch status {
	case C.SENET_JPEG_OK:
		return nil
	case C.SENET_JPEG_TRUNCATED:
		return fmt.Errorf("jpeg is truncated: %s", C.GoString(&d.part.message[0]))
	}
	return fmt.Errorf("jpeg: %s", C.GoString(&d.part.message[0]))
}

func pointer(s []uint8) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(s)) }
