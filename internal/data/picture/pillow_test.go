package picture

import (
	"encoding/json"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"testing"
)

// pillowCase is what Pillow makes of a view of a file; scripts/fixtures/pictures.py wrote it.
type pillowCase struct {
	File     string
	Box      [4]int // x0, y0, x1, y1, resized to W x H, or
	Crop     float64
	W, H     int
	Bicubic  bool
	Channels int
	Image    []uint8
}

func (c pillowCase) String() string {
	return fmt.Sprintf("%s, box %v, crop %v, to %dx%d, bicubic %v, %d channels", c.File, c.Box, c.Crop, c.W, c.H, c.Bicubic, c.Channels)
}

func (c pillowCase) view(h Header) View {
	if c.Crop > 0 {
		return EvalView(h.Width, h.Height, c.W, c.Crop, c.Bicubic)
	}
	return View{Box: image.Rect(c.Box[0], c.Box[1], c.Box[2], c.Box[3]), W: c.W, H: c.H, Window: image.Rect(0, 0, c.W, c.H), Bicubic: c.Bicubic}
}

func testdata(t testing.TB, name string) []uint8 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPixelsAreThoseOfPillow(t *testing.T) {
	var cases []pillowCase
	if err := json.Unmarshal(testdata(t, "pillow.json"), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 40 {
		t.Fatalf("%d cases", len(cases))
	}
	var d Decoder
	for _, c := range cases {
		b := testdata(t, c.File)
		h, err := ReadHeader(b)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		got := make([]uint8, c.W*c.H*c.Channels)
		if err := d.Decode(b, c.view(h), c.Channels, got); err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		if len(got) != len(c.Image) {
			t.Errorf("%v: %d bytes, want %d", c, len(got), len(c.Image))
			continue
		}
		worst, differ := 0, 0
		for i, p := range got {
			if off := max(int(p), int(c.Image[i])) - min(int(p), int(c.Image[i])); off > 0 {
				worst, differ = max(worst, off), differ+1
			}
		}
		if worst > 0 {
			t.Errorf("%v: %d of %d bytes differ, by up to %d", c, differ, len(got), worst)
		}
	}
}
