package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func encodePNG(t testing.TB, m image.Image) []uint8 {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pngOf is a grey PNG of 8 bits with these data, compressed.
func pngOf(t testing.TB, w, h int, data []uint8) []uint8 {
	t.Helper()
	b := []uint8("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []uint8) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
		named := append([]uint8(kind), data...)
		b = binary.BigEndian.AppendUint32(append(b, named...), crc32.ChecksumIEEE(named))
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(w)), uint32(h))
	chunk("IHDR", append(head, 8, 0, 0, 0, 0))
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	chunk("IDAT", packed.Bytes())
	chunk("IEND", nil)
	return b
}

// claim is a JPEG with another size in its frame header.
func claim(t testing.TB, b []uint8, w, h int) []uint8 {
	t.Helper()
	b = slices.Clone(b)
	frame := max(bytes.Index(b, []uint8{0xff, 0xc0}), bytes.Index(b, []uint8{0xff, 0xc2}))
	if frame < 0 {
		t.Fatal("no frame header")
	}
	binary.BigEndian.PutUint16(b[frame+5:], uint16(h))
	binary.BigEndian.PutUint16(b[frame+7:], uint16(w))
	return b
}

// bare is a JPEG of 142 bytes that claims 16000 x 16000 pixels of grey and has none.
func bare() []uint8 {
	const side = 16000
	b := []uint8{0xff, 0xd8, 0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0}
	b = append(b, 0xff, 0xc0, 0, 11, 8, side>>8, side&0xff, side>>8, side&0xff, 1, 1, 0x11, 0)
	return append(b, make([]uint8, 142-len(b))...)
}

// manyScans is a JPEG whose last scan comes 1000 times more.
func manyScans(t testing.TB, b []uint8) []uint8 {
	t.Helper()
	last := bytes.LastIndex(b, []uint8{0xff, 0xda})
	end := len(b) - 2
	return slices.Concat(b[:end], bytes.Repeat(b[last:end], 1000), b[end:])
}

// webpOf is a WebP of these chunks.
func webpOf(chunks ...[]uint8) []uint8 {
	content := append([]uint8("WEBP"), slices.Concat(chunks...)...)
	return append(binary.LittleEndian.AppendUint32([]uint8("RIFF"), uint32(len(content))), content...)
}

// webpChunk has an even number of bytes of data.
func webpChunk(kind string, data ...uint8) []uint8 {
	return append(binary.LittleEndian.AppendUint32([]uint8(kind), uint32(len(data))), data...)
}

type fault struct {
	name string
	b    []uint8
	want string // part of the error
}

func faults(t testing.TB) []fault {
	j, progressive := testdata(t, "420.jpg"), testdata(t, "progressive.jpg")
	hugeVP8L := webpChunk("VP8L", 0x2f, 0xff, 0xff, 0xff, 0x0f, 0)
	return []fault{
		{"tiny JPEG", bare(), "16000x16000 pixels, more than"},
		{"line", claim(t, j, 65535, 1), "65535x1 pixels, more than"},
		{"JPEG of nothing", claim(t, j, 10000, 8000), "cannot hold them"},
		{"empty JPEG", claim(t, j, 45, 0), "45x0 pixels is empty"},
		{"1000 scans", manyScans(t, progressive), "more than the 100 scans"},
		{"two frames", slices.Concat(j[:len(j)-2], j[2:]), "two frame headers"},
		{"arithmetic JPEG", bytes.Replace(j, []uint8{0xff, 0xc0}, []uint8{0xff, 0xc9}, 1), "SOF9"},
		{"no frame", []uint8("\xff\xd8\xff\xd9"), "no frame header"},
		{"huge PNG", pngOf(t, 1<<20, 1<<20, nil), "1048576x1048576 pixels, more than"},
		{"absurd PNG", pngOf(t, 1<<30, 1<<30, nil), "png header"},
		{"PNG of nothing", pngOf(t, 10000, 8000, nil), "cannot hold them"},
		{"PNG of too much", pngOf(t, 8, 8, make([]uint8, 16<<20)), "too much pixel data"},
		{"huge GIF", []uint8("GIF89a\xff\xff\xff\xff\x00\x00\x00;"), "65535x65535 pixels, more than"},
		{"GIF of nothing", []uint8("GIF89a\x10\x27\x40\x1f\x00\x00\x00;"), "cannot hold them"},
		{"huge lossless WebP", webpOf(hugeVP8L), "16384x16384 pixels, more than"},
		{"huge WebP", webpOf(webpChunk("VP8 ", 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f)), "16383x16383 pixels, more than"},
		{"huge WebP on a canvas of 1x1", webpOf(webpChunk("VP8X", make([]uint8, 10)...), hugeVP8L), "16384x16384 pixels, more than"},
		{"animated WebP", webpOf(webpChunk("ANIM", 0, 0, 0, 0, 0, 0)), "no still image"},
		{"text", []uint8("no image at all"), "not a JPEG, PNG, GIF or WebP"},
		{"nothing", nil, "not a JPEG, PNG, GIF or WebP"},
		{"cut in the middle", j[:len(j)*2/3], "truncated: its data ends in block row"},
		{"cut in its last row", j[:len(j)-12], "truncated: its data ends in block row 3 of 3"},
		{"cut end marker", j[:len(j)-2], "truncated"},
		{"cut progressive", progressive[:len(progressive)-9], "truncated: its data ends in scan"},
		{"end in the middle", slices.Concat(j[:len(j)-200], j[len(j)-2:]), "truncated: its data ends in block row"},
		{"cut PNG", testdata(t, "rgba.png")[:5000], "png image of 45x35 pixels"},
		{"cut GIF", testdata(t, "palette.gif")[:900], "gif image of 45x35 pixels"},
		{"cut WebP", testdata(t, "lossy.webp")[:500], "webp image of 45x35 pixels"},
	}
}

// allView is all of a picture, small.
func allView(h Header) View {
	return View{Box: image.Rect(0, 0, h.Width, h.Height), W: 4, H: 4, Window: image.Rect(0, 0, 4, 4)}
}

func decodeAll(d *Decoder, b []uint8) error {
	h, err := ReadHeader(b)
	if err != nil {
		return err
	}
	return d.Decode(b, allView(h), 3, make([]uint8, 48))
}

// TestBadImagesAreRefusedCheaply: before memory is taken for what they claim, and the next one is decoded as ever.
func TestBadImagesAreRefusedCheaply(t *testing.T) {
	var d Decoder
	good := testdata(t, "420.jpg")
	want := mustDecode(t, &d, good, asItIs(image.Rect(0, 0, 45, 35)), 3)
	for _, f := range faults(t) {
		var err error
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = decodeAll(&d, f.b)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), f.want) {
			t.Errorf("%s: error is %v, want %q", f.name, err, f.want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: refused after allocating %d bytes", f.name, n)
		}
		if got := mustDecode(t, &d, good, asItIs(image.Rect(0, 0, 45, 35)), 3); !slices.Equal(got, want) {
			t.Errorf("after %s a good image has other pixels", f.name)
		}
	}
}

func TestLargeFilesAreRefused(t *testing.T) {
	b := append(testdata(t, "420.jpg"), make([]uint8, MaxBytes)...)
	if _, err := ReadHeader(b); err == nil || !strings.Contains(err.Error(), "more than the 67108864 allowed") {
		t.Errorf("error is %v", err)
	}
}

// TestEveryCutJPEGIsAnError: libjpeg alone would make up what is missing.
func TestEveryCutJPEGIsAnError(t *testing.T) {
	var d Decoder
	for _, name := range []string{"420.jpg", "progressive.jpg", "grey.jpg", "restart.jpg", "cmyk.jpg"} {
		b := testdata(t, name)
		for n := 0; n < len(b); n += 5 {
			if err := decodeAll(&d, b[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes give an image", name, n, len(b))
			}
		}
		if err := decodeAll(&d, append(b, "some trailing bytes"...)); err != nil {
			t.Errorf("%s with bytes behind its end: %v", name, err)
		}
	}
}

func BenchmarkRefusal(b *testing.B) {
	var d Decoder
	for _, f := range faults(b) {
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if decodeAll(&d, f.b) == nil {
					b.Fatal("decoded")
				}
			}
		})
	}
}
