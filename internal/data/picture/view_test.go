package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestEvalViewRoundsAsTorchvision: sizes and corners that its Resize and CenterCrop gave.
func TestEvalViewRoundsAsTorchvision(t *testing.T) {
	for _, c := range []struct {
		w, h, size int
		crop       float64
		toW, toH   int
		x, y       int
	}{
		{500, 375, 224, 0.875, 341, 256, 58, 16}, // (341 - 224) / 2 = 58.5 to even
		{375, 500, 224, 0.875, 256, 341, 16, 58},
		{500, 333, 224, 0.95, 352, 235, 64, 6},   // 5.5 to even
		{500, 357, 224, 0.875, 358, 256, 67, 16}, // 358.54 down
		{28, 28, 28, 1, 28, 28, 0, 0},            //
		{16384, 1, 224, 0.875, 4194304, 256, 2097040, 16},
	} {
		v := EvalView(c.w, c.h, c.size, c.crop, true)
		want := View{Box: image.Rect(0, 0, c.w, c.h), W: c.toW, H: c.toH, Window: image.Rect(c.x, c.y, c.x+c.size, c.y+c.size), Bicubic: true}
		if v != want {
			t.Errorf("%+v: view is %+v, want %+v", c, v, want)
		}
	}
}

// asItIs shows a box without resizing it.
func asItIs(box image.Rectangle) View {
	return View{Box: box, W: box.Dx(), H: box.Dy(), Window: image.Rect(0, 0, box.Dx(), box.Dy())}
}

func mustDecode(t *testing.T, d *Decoder, b []uint8, v View, c int) []uint8 {
	t.Helper()
	pixels := make([]uint8, v.Window.Dx()*v.Window.Dy()*c)
	if err := d.Decode(b, v, c, pixels); err != nil {
		t.Fatal(err)
	}
	return pixels
}

// waves is a JPEG, 4:2:0, of smooth colours.
func waves(t testing.TB, w, h int) []uint8 {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := uint8(128 + 100*math.Sin(float64(x)/13)*math.Cos(float64(y)/17))
			m.SetRGBA(x, y, color.RGBA{v, 255 - v, uint8(x + y), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPartsOfJPEGsAreThoseOfTheWhole: decoding only some rows and columns changes no pixel.
func TestPartsOfJPEGsAreThoseOfTheWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var d Decoder
	for name, b := range map[string][]uint8{
		"waves": waves(t, 211, 173), "420.jpg": testdata(t, "420.jpg"), "422.jpg": testdata(t, "422.jpg"), "444.jpg": testdata(t, "444.jpg"),
		"progressive.jpg": testdata(t, "progressive.jpg"), "restart.jpg": testdata(t, "restart.jpg"), "cmyk.jpg": testdata(t, "cmyk.jpg"),
	} {
		h, err := ReadHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		whole := mustDecode(t, &d, b, asItIs(image.Rect(0, 0, h.Width, h.Height)), 3)
		for range 200 {
			x, y := random.IntN(h.Width), random.IntN(h.Height)
			box := image.Rect(x, y, x+1+random.IntN(h.Width-x), y+1+random.IntN(h.Height-y))
			part := mustDecode(t, &d, b, asItIs(box), 3)
			for row := range box.Dy() {
				from := 3 * ((box.Min.Y+row)*h.Width + box.Min.X)
				if !slices.Equal(part[3*row*box.Dx():3*(row+1)*box.Dx()], whole[from:from+3*box.Dx()]) {
					t.Fatalf("%s: row %d of %v is not that of the whole", name, row, box)
				}
			}
		}
	}
}

// TestWindowsAreCutFromTheResult: resizing only a window changes no pixel, in either order of the passes.
func TestWindowsAreCutFromTheResult(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	var d Decoder
	b := waves(t, 211, 173)
	for _, size := range []image.Point{{90, 70}, {190, 40}, {300, 260}} {
		for _, c := range []int{1, 3} {
			v := View{Box: image.Rect(11, 9, 205, 160), W: size.X, H: size.Y, Window: image.Rectangle{Max: size}, Bicubic: true}
			all := mustDecode(t, &d, b, v, c)
			for range 100 {
				x, y := random.IntN(v.W), random.IntN(v.H)
				v.Window = image.Rect(x, y, x+1+random.IntN(v.W-x), y+1+random.IntN(v.H-y))
				part, width := mustDecode(t, &d, b, v, c), v.Window.Dx()*c
				for row := range v.Window.Dy() {
					from := c * ((y+row)*v.W + x)
					if !slices.Equal(part[row*width:(row+1)*width], all[from:from+width]) {
						t.Fatalf("row %d of window %v of %v is not that of the whole", row, v.Window, size)
					}
				}
			}
		}
	}
}

// TestReducedDecodingShowsTheSamePart: of slopes across and down, a shift by half a pixel of the reduced picture would change all
// values by at least 0.8.
func TestReducedDecodingShowsTheSamePart(t *testing.T) {
	var d Decoder
	for _, down := range []bool{false, true} {
		m := image.NewGray(image.Rect(0, 0, 307, 305))
		for i := range m.Pix {
			if m.Pix[i] = uint8(i % 307 * 255 / 307); down {
				m.Pix[i] = uint8(i / 307 * 255 / 305)
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 98}); err != nil {
			t.Fatal(err)
		}
		for _, side := range []int{100, 50, 25} {
			v := View{Box: image.Rect(37, 23, 37+211, 23+207), W: side, H: side, Window: image.Rect(0, 0, side, side)}
			exact := mustDecode(t, &d, b.Bytes(), v, 1)
			v.Fast = true
			fast := mustDecode(t, &d, b.Bytes(), v, 1)
			sum := 0
			for i := range exact {
				sum += int(exact[i]) - int(fast[i])
			}
			if mean := float64(sum) / float64(len(exact)); !(math.Abs(mean) < 0.2) {
				t.Errorf("down %v, to %d: values are off by %g in the mean", down, side, mean)
			}
			if slices.Equal(exact, fast) {
				t.Errorf("down %v, to %d: nothing was reduced", down, side)
			}
		}
	}
}

func TestReducedIsNeverBelowTheTarget(t *testing.T) {
	h := Header{Width: 2000, Height: 2000, Format: "jpeg"}
	for _, c := range []struct {
		w, h, toW, toH, want int
		format               string
		fast                 bool
	}{
		{447, 1000, 224, 224, 1, "jpeg", true},
		{448, 448, 224, 224, 2, "jpeg", true},
		{1000, 448, 224, 224, 2, "jpeg", true},
		{896, 900, 224, 224, 4, "jpeg", true},
		{1792, 1792, 224, 224, 8, "jpeg", true},
		{2000, 2000, 10, 10, 8, "jpeg", true},
		{2000, 2000, 10, 10, 1, "jpeg", false},
		{2000, 2000, 10, 10, 1, "png", true},
	} {
		h.Format = c.format
		if got := (View{Box: image.Rect(0, 0, c.w, c.h), W: c.toW, H: c.toH, Fast: c.fast}).reduce(h); got != c.want {
			t.Errorf("%+v: reduced by %d", c, got)
		}
	}
}

func TestOfSixteenBitsTheUpperEightCount(t *testing.T) {
	m := image.NewGray16(image.Rect(0, 0, 2, 1))
	m.SetGray16(0, 0, color.Gray16{0x12ff})
	m.SetGray16(1, 0, color.Gray16{0xfe00})
	var d Decoder
	if got := mustDecode(t, &d, encodePNG(t, m), asItIs(m.Rect), 3); !slices.Equal(got, []uint8{0x12, 0x12, 0x12, 0xfe, 0xfe, 0xfe}) {
		t.Errorf("pixels are %x", got)
	}
}

// TestWhatAGIFLeavesFree is of the transparent colour, which is black, else of the first one.
func TestWhatAGIFLeavesFree(t *testing.T) {
	red, green := color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}
	for _, c := range []struct {
		palette color.Palette
		outside color.RGBA
	}{
		{color.Palette{red, green}, red},
		{color.Palette{red, green, color.RGBA{}}, color.RGBA{}},
	} {
		frame := image.NewPaletted(image.Rect(1, 0, 2, 1), c.palette)
		frame.Pix[0] = 1
		var b bytes.Buffer
		all := &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{0}, Config: image.Config{ColorModel: c.palette, Width: 3, Height: 1}}
		if err := gif.EncodeAll(&b, all); err != nil {
			t.Fatal(err)
		}
		var d Decoder
		o := []uint8{c.outside.R, c.outside.G, c.outside.B}
		if got, want := mustDecode(t, &d, b.Bytes(), asItIs(image.Rect(0, 0, 3, 1)), 3), slices.Concat(o, []uint8{0, 255, 0}, o); !slices.Equal(got, want) {
			t.Errorf("pixels are %v, want %v", got, want)
		}
	}
}

func TestViewsOutsideThePictureAreRefused(t *testing.T) {
	b := testdata(t, "420.jpg") // 45 x 35
	good := View{Box: image.Rect(1, 2, 11, 12), W: 5, H: 5, Window: image.Rect(0, 0, 5, 5)}
	var d Decoder
	for name, change := range map[string]func(v *View, c, size *int){
		"no box":         func(v *View, _, _ *int) { v.Box = image.Rectangle{} },
		"box outside":    func(v *View, _, _ *int) { v.Box.Max.X = 46 },
		"box before":     func(v *View, _, _ *int) { v.Box.Min.Y = -1 },
		"no size":        func(v *View, _, _ *int) { v.W = 0 },
		"no window":      func(v *View, _, size *int) { v.Window, *size = image.Rectangle{}, 0 },
		"window outside": func(v *View, _, _ *int) { v.Window = v.Window.Add(image.Pt(0, 1)) },
		"two channels":   func(_ *View, c, size *int) { *c, *size = 2, 50 },
		"short":          func(_ *View, _, size *int) { *size-- },
	} {
		v, c, size := good, 3, 75
		change(&v, &c, &size)
		if err := d.Decode(b, v, c, make([]uint8, size)); err == nil || strings.Contains(err.Error(), "jpeg") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if err := d.Decode(b, good, 3, make([]uint8, 75)); err != nil {
		t.Error(err)
	}
}
