package picture

import (
	"image"
	"image/color"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestResizeIsDecodeWithoutTheEncoding, for grey and RGB, shrinking and growing, of a part and to a part.
func TestResizeIsDecodeWithoutTheEncoding(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var one, other Decoder
	for _, c := range []int{1, 3} {
		for _, size := range [][2]int{{28, 28}, {33, 17}, {1, 1}, {200, 150}} {
			w, h := size[0], size[1]
			pixels := make([]uint8, w*h*c)
			grey, rgb := image.NewGray(image.Rect(0, 0, w, h)), image.NewRGBA(image.Rect(0, 0, w, h))
			for i := range w * h {
				for k := range c {
					pixels[i*c+k] = uint8(random.IntN(256))
				}
				if c == 1 {
					grey.Pix[i] = pixels[i]
				} else {
					rgb.Set(i%w, i/w, color.RGBA{pixels[3*i], pixels[3*i+1], pixels[3*i+2], 255})
				}
			}
			var m image.Image = grey
			if c == 3 {
				m = rgb
			}
			encoded := encodePNG(t, m)
			views := []View{All(w, h, 20, 20), All(w, h, 24, 16), All(w, h, w, h), All(w, h, 61, 47)}
			if w > 8 && h > 8 {
				views = append(views, View{Box: image.Rect(3, 2, w-1, h-4), W: 15, H: 9, Window: image.Rect(2, 1, 14, 8), Bicubic: true})
			}
			for _, v := range views {
				have, want := make([]uint8, v.Window.Dx()*v.Window.Dy()*c), make([]uint8, v.Window.Dx()*v.Window.Dy()*c)
				if err := one.Resize(pixels, Header{Width: w, Height: h}, v, c, have); err != nil {
					t.Fatal(err)
				}
				if err := other.Decode(encoded, v, c, want); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(have, want) {
					t.Errorf("%dx%d of %d channels as %+v: %v, want %v", w, h, c, v, have, want)
				}
			}
		}
	}
}

func TestImpossibleResizesAreRefused(t *testing.T) {
	var d Decoder
	for name, c := range map[string]struct {
		pixels, dst, channels int
		v                     View
	}{
		"too few pixels": {5, 4, 1, All(3, 2, 2, 2)},
		"too much room":  {6, 5, 1, All(3, 2, 2, 2)},
		"two channels":   {12, 8, 2, All(3, 2, 2, 2)},
		"outside":        {6, 4, 1, All(4, 2, 2, 2)},
	} {
		if err := d.Resize(make([]uint8, c.pixels), Header{Width: 3, Height: 2}, c.v, c.channels, make([]uint8, c.dst)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
