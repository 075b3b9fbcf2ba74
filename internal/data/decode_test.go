package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"senet/internal/data/picture"
)

func imageFile(t *testing.T, content []uint8) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.img")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pngOf(t *testing.T, m image.Image) []uint8 {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB, m image.Image) []uint8 {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gifOf(t *testing.T, m image.Image) []uint8 {
	t.Helper()
	var b bytes.Buffer
	if err := gif.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// paint is an image of w by h pixels of the colours that at gives.
func paint(w, h int, at func(x, y int) color.RGBA) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, at(x, y))
		}
	}
	return m
}

func mustDecode(t *testing.T, content []uint8, side, c int) []uint8 {
	t.Helper()
	pixels, err := DecodeFile(imageFile(t, content), View{H: side, W: side, C: c, CropFraction: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(pixels) != side*side*c {
		t.Fatalf("%d bytes for a side of %d and %d channels", len(pixels), side, c)
	}
	return pixels
}

// near reports whether no byte of got is farther than tol from want.
func near(got, want []uint8, tol float64) bool {
	return slices.EqualFunc(got, want, func(a, b uint8) bool { return math.Abs(float64(a)-float64(b)) <= tol })
}

// A prediction from a PNG must see what training saw.
func TestImageOfTheRightSizeIsTakenAsItIs(t *testing.T) {
	grey := image.NewGray(image.Rect(0, 0, 28, 28))
	for i := range grey.Pix {
		grey.Pix[i] = uint8(i * 37)
	}
	if got := mustDecode(t, pngOf(t, grey), 28, 1); !slices.Equal(got, grey.Pix) {
		t.Errorf("grey pixels changed: %v", got)
	}
	m := paint(6, 6, func(x, y int) color.RGBA { return color.RGBA{uint8(x * 36), uint8(y * 50), uint8(x*y + 3), 255} })
	want := []uint8{}
	for i := range 36 {
		want = append(want, m.Pix[4*i:4*i+3]...)
	}
	if got := mustDecode(t, pngOf(t, m), 6, 3); !slices.Equal(got, want) {
		t.Errorf("colours are %v, want %v", got, want)
	}
}

func TestEveryFormatIsDecoded(t *testing.T) {
	colour := palette.Plan9[220].(color.RGBA) // which the GIF encoder need not dither
	grey := uint8(math.Round(0.299*float64(colour.R) + 0.587*float64(colour.G) + 0.114*float64(colour.B)))
	m := paint(32, 32, func(int, int) color.RGBA { return colour })
	for name, content := range map[string][]uint8{"JPEG": jpegOf(t, m), "PNG": pngOf(t, m), "GIF": gifOf(t, m)} {
		if got := mustDecode(t, content, 16, 3); !near(got, slices.Repeat([]uint8{colour.R, colour.G, colour.B}, 256), 3) {
			t.Errorf("%s: pixel is %v, want %v", name, got[:3], colour)
		}
		if got := mustDecode(t, content, 16, 1); !near(got, slices.Repeat([]uint8{grey}, 256), 3) {
			t.Errorf("%s: grey is %v, want %d", name, got[0], grey)
		}
	}
}

func TestGreyIsRec601Luma(t *testing.T) {
	for in, want := range map[color.RGBA]uint8{
		{255, 255, 255, 255}: 255, {255, 0, 0, 255}: 76, {0, 255, 0, 255}: 150, {0, 0, 255, 255}: 29, {200, 100, 50, 255}: 124,
	} {
		if got := mustDecode(t, pngOf(t, paint(2, 2, func(int, int) color.RGBA { return in })), 2, 1); got[0] != want {
			t.Errorf("%v is %d, want %d", in, got[0], want)
		}
	}
}

// TestAlphaIsDropped, as peers do: ImageNet has a picture with it.
func TestAlphaIsDropped(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 2, 2))
	for i := range 4 {
		m.SetNRGBA(i%2, i/2, color.NRGBA{200, 100, 50, uint8(85 * i)})
	}
	if got, want := mustDecode(t, pngOf(t, m), 2, 3), slices.Repeat([]uint8{200, 100, 50}, 4); !slices.Equal(got, want) {
		t.Errorf("pixels are %v, want %v", got, want)
	}
}

// TestLongerSideIsCroppedAtTheCentre: a white square in the middle of black is all that remains, but for what the filter
// brings in at its edge.
func TestLongerSideIsCroppedAtTheCentre(t *testing.T) {
	for _, c := range []struct{ w, h int }{{120, 40}, {40, 120}} {
		m := paint(c.w, c.h, func(x, y int) color.RGBA {
			if x < (c.w-40)/2 || x >= (c.w+40)/2 || y < (c.h-40)/2 || y >= (c.h+40)/2 {
				return color.RGBA{A: 255}
			}
			return color.RGBA{255, 255, 255, 255}
		})
		if got := mustDecode(t, pngOf(t, m), 10, 1); !near(got, slices.Repeat([]uint8{255}, 100), 20) {
			t.Errorf("%dx%d: %v", c.w, c.h, got)
		}
	}
}

func TestShrinkingAntialiases(t *testing.T) {
	stripes := paint(256, 256, func(x, _ int) color.RGBA {
		v := uint8(x % 2 * 255)
		return color.RGBA{v, v, v, 255}
	})
	if got := mustDecode(t, pngOf(t, stripes), 28, 1); !near(got, slices.Repeat([]uint8{128}, 784), 6) {
		t.Errorf("stripes of one pixel became %v", got[:28])
	}
}

// TestResizingKeepsARampStraight: pixel centres stay where they are, shrinking and growing, in an image
// that is square and in the middle of one that is not.
func TestResizingKeepsARampStraight(t *testing.T) {
	for _, c := range []struct{ side, beside int }{{64, 0}, {8, 0}, {64, 32}, {8, 5}} {
		at := func(i int) color.RGBA {
			v := uint8(math.Round(255 * min(1, max(0, (float64(i-c.beside)+0.5)/float64(c.side)))))
			return color.RGBA{v, v, v, 255}
		}
		wide := paint(c.side+2*c.beside, c.side, func(x, _ int) color.RGBA { return at(x) })
		high := paint(c.side, c.side+2*c.beside, func(_, y int) color.RGBA { return at(y) })
		row := mustDecode(t, pngOf(t, wide), 16, 1)[16*8:]
		column := mustDecode(t, pngOf(t, high), 16, 1)[8:]
		for i := 3; i < 13; i++ { // the filter reaches over the edge outside
			want := (float64(i) + 0.5) / 16 * 255
			if !near([]uint8{row[i], column[16*i]}, []uint8{uint8(want), uint8(want)}, 2) {
				t.Errorf("%+v: pixel %d is %d across and %d down, want %.1f", c, i, row[i], column[16*i], want)
			}
		}
	}
}

func TestExtremeShapesAreDecoded(t *testing.T) {
	white := func(int, int) color.RGBA { return color.RGBA{255, 255, 255, 255} }
	for _, c := range []struct{ w, h int }{{picture.MaxSide, 1}, {1, picture.MaxSide}, {1, 1}} {
		if got := mustDecode(t, pngOf(t, paint(c.w, c.h, white)), 24, 1); !slices.Equal(got, slices.Repeat([]uint8{255}, 24*24)) {
			t.Errorf("%dx%d: %v", c.w, c.h, got)
		}
	}
}

// claim is content with the size in its header replaced.
func claim(t *testing.T, content []uint8, w, h int) []uint8 {
	t.Helper()
	content = slices.Clone(content)
	if bytes.HasPrefix(content, []uint8("\x89PNG")) {
		binary.BigEndian.PutUint32(content[16:], uint32(w))
		binary.BigEndian.PutUint32(content[20:], uint32(h))
		binary.BigEndian.PutUint32(content[29:], crc32.ChecksumIEEE(content[12:29]))
		return content
	}
	frame := bytes.Index(content, []uint8{0xff, 0xc0})
	if frame < 0 {
		t.Fatal("no frame header")
	}
	binary.BigEndian.PutUint16(content[frame+5:], uint16(h))
	binary.BigEndian.PutUint16(content[frame+7:], uint16(w))
	return content
}

// tinyBomb is a JPEG of 142 bytes that claims 16000x16000 pixels.
func tinyBomb() []uint8 {
	const side = 16000
	b := []uint8{0xff, 0xd8}
	b = append(b, 0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0)
	b = append(b, 0xff, 0xc0, 0, 11, 8, side>>8, side&0xff, side>>8, side&0xff, 1, 1, 0x11, 0) // grey
	return append(b, make([]uint8, 142-len(b))...)
}

func TestBadImageFilesAreRefused(t *testing.T) {
	m := paint(8, 8, func(x, y int) color.RGBA { return color.RGBA{uint8(x), uint8(y), 9, 255} })
	j, p := jpegOf(t, m), pngOf(t, m)
	huge := filepath.Join(t.TempDir(), "huge.png")
	if err := os.WriteFile(huge, p, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxImageBytes+1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, want string }{
		{"JPEG bomb", imageFile(t, claim(t, j, 16000, 16000)), "16000x16000 pixels, more than"},
		{"tiny JPEG bomb", imageFile(t, tinyBomb()), "16000x16000 pixels, more than"},
		{"PNG bomb", imageFile(t, claim(t, p, 1<<20, 1<<20)), "1048576x1048576 pixels, more than"},
		{"absurd PNG", imageFile(t, claim(t, p, 1<<30, 1<<30)), "png header"},
		{"wide", imageFile(t, claim(t, p, picture.MaxSide+1, 1)), "16385x1 pixels, more than"},
		{"high", imageFile(t, claim(t, p, 1, picture.MaxSide+1)), "1x16385 pixels, more than"},
		{"large", imageFile(t, claim(t, p, 10000, 8001)), "10000x8001 pixels, more than"},
		{"empty PNG", imageFile(t, claim(t, p, 0, 4)), "png header"},
		{"large file", huge, "67108865 bytes"},
		{"text", imageFile(t, []uint8("no image at all")), "not a JPEG, PNG, GIF or WebP"},
		{"empty file", imageFile(t, nil), "not a JPEG, PNG, GIF or WebP"},
		{"cut header", imageFile(t, p[:20]), "png header"},
		{"cut PNG", imageFile(t, p[:len(p)-20]), "image of 8x8 pixels"},
		{"cut JPEG", imageFile(t, j[:len(j)-8]), "truncated"},
		{"folder", t.TempDir(), "not a regular file"},
		{"missing", filepath.Join(t.TempDir(), "none.png"), "none.png"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			bytes := allocated(func() { _, err = DecodeFile(c.path, View{H: 8, W: 8, C: 3, CropFraction: 1}) })
			if !errors.Is(err, ErrBadData) || !strings.Contains(err.Error(), c.path) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
			if bytes > 1<<20 {
				t.Errorf("refused after allocating %d bytes", bytes)
			}
		})
	}
	if _, err := DecodeFile(filepath.Join(t.TempDir(), "none.png"), View{H: 8, W: 8, C: 3, CropFraction: 1}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file is reported as %v", err)
	}
	for _, c := range [][3]int{{0, 0, 3}, {8, 0, 3}, {8, 9, 3}, {8, 8, 2}} {
		if _, err := DecodeFile(imageFile(t, p), View{H: c[0], W: c[1], C: c[2], CropFraction: 1}); err == nil || errors.Is(err, ErrBadData) {
			t.Errorf("target %v: error is %v", c, err)
		}
	}
}

// TestViewCropsTheCentre: of 256 pixels a fraction of 0.875 shows the middle 224, unfiltered, and 0.95 what is left when
// 224 are cropped from 235.
func TestViewCropsTheCentre(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 300, 256))
	for i := range m.Pix {
		x, y := i%m.Stride, i/m.Stride
		if x >= 38 && x < 262 && y >= 16 && y < 240 {
			m.Pix[i] = uint8(50 + (x+y)%200)
		}
	}
	path := filepath.Join(t.TempDir(), "m.png")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(f, m), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, bilinear := range []bool{false, true} {
		pixels, err := DecodeFile(path, View{H: 224, W: 224, C: 1, CropFraction: 0.875, Bilinear: bilinear})
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range pixels {
			if x, y := 38+i%224, 16+i/224; p != m.GrayAt(x, y).Y {
				t.Fatalf("bilinear %v: pixel %d,%d is %d, want %d", bilinear, x, y, p, m.GrayAt(x, y).Y)
			}
		}
	}
	wider, err := DecodeFile(path, View{H: 224, W: 224, C: 1, CropFraction: 0.95})
	if err != nil {
		t.Fatal(err)
	}
	// The 16 black rows at the top, shrunk to 14.7, lose the 6 that are cropped.
	for y, black := range map[int]bool{0: true, 7: true, 9: false, 112: false, 223: true} {
		if p := wider[y*224+112]; (p < 25) != black {
			t.Errorf("row %d of the wider crop is %d, black: %v", y, p, black)
		}
	}
}
