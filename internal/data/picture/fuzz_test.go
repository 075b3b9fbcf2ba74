package picture

import (
	"bytes"
	"os"
	"testing"
)

// FuzzDecode: whatever the bytes, decoding neither crashes nor depends on what was decoded before.
func FuzzDecode(f *testing.F) {
	files, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if b := testdata; !file.IsDir() && file.Name() != "pillow.json" {
			f.Add(b(f, file.Name()), uint64(0))
		}
	}
	for _, fault := range faults(f) {
		if len(fault.b) < 1<<16 {
			f.Add(fault.b, uint64(1))
		}
	}
	var used Decoder
	f.Fuzz(func(t *testing.T, b []byte, choice uint64) {
		h, err := ReadHeader(b)
		if err != nil || h.Width*h.Height > 1<<18 {
			return
		}
		pick := func(n int) int {
			k := choice % uint64(n)
			choice /= uint64(n)
			return int(k)
		}
		v := EvalView(h.Width, h.Height, 1+pick(9), 1-float64(pick(5))/8, pick(2) == 1)
		v.Fast = pick(2) == 1
		v.Box.Min.X, v.Box.Min.Y = pick(h.Width), pick(h.Height)
		c := 1 + 2*pick(2)
		again := make([]uint8, v.Window.Dx()*v.Window.Dy()*c)
		first := bytes.Clone(again)
		var fresh Decoder
		errFirst, errAgain := fresh.Decode(b, v, c, first), used.Decode(b, v, c, again)
		if (errFirst == nil) != (errAgain == nil) || errFirst == nil && !bytes.Equal(first, again) {
			t.Errorf("decoded again: %v and pixels %v, want %v and %v", errAgain, again, errFirst, first)
		}
	})
}
