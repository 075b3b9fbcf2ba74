package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// JPEG markers that matter here; each follows a byte 0xff.
const (
	markerTEM  = 0x01
	markerSOF0 = 0xc0 // baseline; SOF1 is extended sequential, SOF2 progressive
	markerSOF2 = 0xc2
	markerDHT  = 0xc4
	markerJPG  = 0xc8
	markerDAC  = 0xcc
	markerRST0 = 0xd0
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
)

// jpegScan is what the segments of a JPEG say.
type jpegScan struct {
	width, height int
	progressive   bool
	scans         int
	ended         bool // by an end marker
}

// scanJPEG goes over the segments up to the frame header or, for all, up to the end marker. Compressed data is passed over
// by the search for a marker, as libjpeg does it.
func scanJPEG(b []byte, all bool) (jpegScan, error) {
	var s jpegScan
	for at := 2; ; {
		next := bytes.IndexByte(b[at:], 0xff)
		if next < 0 || at+next+1 >= len(b) {
			break
		}
		at += next + 1
		marker := b[at]
		if marker == 0xff { // a fill byte
			continue
		}
		at++
		if marker == 0 || marker == markerTEM || marker >= markerRST0 && marker <= markerSOI {
			continue
		}
		if marker == markerEOI {
			s.ended = true
			break
		}
		if at+2 > len(b) {
			break
		}
		length := int(binary.BigEndian.Uint16(b[at:]))
		if length < 2 || at+length > len(b) {
			break
		}
		segment := b[at+2 : at+length]
		at += length
		switch {
		case marker == markerSOS:
			s.scans++
		case marker >= markerSOF0 && marker < markerRST0 && marker != markerDHT && marker != markerJPG && marker != markerDAC:
			if s.width > 0 {
				return s, errors.New("jpeg has two frame headers")
			}
			if marker > markerSOF2 {
				return s, fmt.Errorf("jpeg is of kind SOF%d: neither baseline nor progressive with Huffman codes", marker-markerSOF0)
			}
			if len(segment) < 5 {
				return s, errors.New("jpeg has a short frame header")
			}
			s.height, s.width = int(binary.BigEndian.Uint16(segment[1:])), int(binary.BigEndian.Uint16(segment[3:]))
			s.progressive = marker == markerSOF2
			if !all {
				return s, nil
			}
		}
	}
	if s.width == 0 {
		return s, errors.New("jpeg has no frame header")
	}
	return s, nil
}
