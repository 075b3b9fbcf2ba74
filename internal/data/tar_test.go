package data

import (
	"archive/tar"
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// header is a tar of one member with a header of any kind and 3 bytes where it has content.
func header(t *testing.T, h tar.Header) []uint8 {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if h.Typeflag == tar.TypeReg {
		h.Size = 3
	}
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]uint8("abc")[:h.Size]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func scanAll(content []uint8) (found []sample, err error) {
	err = scanTar(bytes.NewReader(content), int64(len(content)), func(name string, offset, size int64) error {
		found = append(found, sample{name: name, offset: offset, size: size})
		return nil
	})
	return found, err
}

func TestTarsThatNoDataSetIsMadeOfAreRefused(t *testing.T) {
	file := func(name string) []uint8 { return header(t, tar.Header{Typeflag: tar.TypeReg, Name: name}) }
	two := tarOf(t, member{"a", make([]uint8, 1000)}, member{"b", make([]uint8, 1000)})
	broken := slices.Clone(two)
	broken[2] ^= 1
	huge := slices.Clone(two)
	copy(huge[124:136], "77777777777\x00") // 8 GB of content
	checksum(huge[:512])
	sparse := file("a")
	sparse[156] = tar.TypeGNUSparse
	copy(sparse[257:265], "ustar  \x00")
	checksum(sparse[:512])
	for name, c := range map[string]struct {
		content []uint8
		want    string
	}{
		"upwards":           {file("../a.jpg"), "leads out"},
		"upwards inside":    {file("a/../../b.jpg"), "leads out"},
		"absolute":          {file("/etc/a.jpg"), "leads out"},
		"backslashes":       {file(`..\a.jpg`), "leads out"},
		"escape codes":      {file("a\x1b[31m.jpg"), "cannot be shown"},
		"symbolic link":     {header(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "a.jpg", Linkname: "/etc/passwd"}), "is a link"},
		"hard link":         {header(t, tar.Header{Typeflag: tar.TypeLink, Name: "a.jpg", Linkname: "b.jpg"}), "is a link"},
		"device":            {header(t, tar.Header{Typeflag: tar.TypeChar, Name: "a.jpg"}), "is of type"},
		"pipe":              {header(t, tar.Header{Typeflag: tar.TypeFifo, Name: "a.jpg"}), "is of type"},
		"folder upwards":    {header(t, tar.Header{Typeflag: tar.TypeDir, Name: "../"}), "leads out"},
		"sparse":            {sparse, ""},
		"cut in a content":  {two[:1024], "cut short"},
		"cut in a header":   {two[:1700], ""},
		"cut after member":  {two[:1536], "cut short after 1 members"},
		"cut after the end": {two[:3072], "cut short after 2 members"},
		"empty file":        {nil, "cut short after 0 members"},
		"damaged header":    {broken, "invalid tar header"},
		"too large a size":  {huge, "cut short"},
		"not a tar":         {bytes.Repeat([]uint8("no tar "), 200), "invalid tar header"},
	} {
		if found, err := scanAll(c.content); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found %v, error %v, want %q", name, found, err, c.want)
		}
	}
}

// checksum mends a header's.
func checksum(header []uint8) {
	copy(header[148:156], "        ")
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	text := []uint8("000000\x00 ")
	for i := 5; i >= 0; i-- {
		text[i] = '0' + uint8(sum&7)
		sum >>= 3
	}
	copy(header[148:156], text)
}

func TestTarMembersAreFoundWhereTheyLie(t *testing.T) {
	long := strings.Repeat("x", 180) + "/" + strings.Repeat("y", 90) + ".jpg" // takes a header of its own
	members := []member{{"./a.jpg", []uint8("abc")}, {"empty", nil}, {long, bytes.Repeat([]uint8("z"), 513)}, {"é.jpg", []uint8("d")}}
	content := tarOf(t, members...)
	found, err := scanAll(content)
	if err != nil || len(found) != len(members) {
		t.Fatalf("found %v, error %v", found, err)
	}
	for i, m := range members {
		s := found[i]
		if s.name != filepath.Clean(m.name) || !bytes.Equal(content[s.offset:s.offset+s.size], m.content) {
			t.Errorf("member %d is %q at %d, %d bytes", i, s.name, s.offset, s.size)
		}
	}
	if found, err := scanAll(header(t, tar.Header{Typeflag: tar.TypeDir, Name: "a/"})); err != nil || len(found) != 0 {
		t.Errorf("of a folder: found %v, error %v", found, err)
	}
	if found, err := scanAll(tarOf(t)); err != nil || len(found) != 0 {
		t.Errorf("of nothing: found %v, error %v", found, err)
	}
}

func FuzzScanTar(f *testing.F) {
	whole := tarOf(f, member{"a.jpg", []uint8("abc")}, member{strings.Repeat("x", 200) + ".jpg", make([]uint8, 700)})
	f.Add(whole)
	f.Add(whole[:1000])
	f.Add([]uint8{})
	f.Fuzz(func(t *testing.T, content []uint8) {
		found, err := scanAll(content)
		end := int64(0)
		for _, s := range found {
			if s.offset < end || s.size < 0 || s.offset+s.size > int64(len(content)) {
				t.Errorf("member %+v of %d bytes, after %d", s, len(content), end)
			}
			if !filepath.IsLocal(s.name) {
				t.Errorf("name %q", s.name)
			}
			end = s.offset + s.size
		}
		_ = err // either is fine
	})
}
