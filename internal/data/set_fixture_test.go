package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"image/color"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tinyIDs are classes of ImageNet whose devkit numbers, 449, 450, 442 and 490, are in another order than their labels.
var tinyIDs = []string{"n01440764", "n01443537", "n01484850", "n01751748"}

// photo is a JPEG that no other class or number has, of a size of its own.
func photo(t testing.TB, class, i int) []uint8 {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(class), uint64(i)))
	w, h := 20+r.IntN(30), 20+r.IntN(30)
	base := uint8(40 * (class + 1))
	return jpegOf(t, paint(w, h, func(x, y int) color.RGBA { return color.RGBA{base, uint8(x*5 + i*20), uint8(y * 5), 255} }))
}

func put(t testing.TB, path string, content []uint8) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// folderSet writes train/ID/ID_i.JPEG with so many images of each class, and val with one of each.
func folderSet(t testing.TB, ids []string, each int) Set {
	t.Helper()
	dir := t.TempDir()
	for class, id := range ids {
		for i := range each {
			put(t, filepath.Join(dir, "train", id, fmt.Sprintf("%s_%d.JPEG", id, i)), photo(t, class, i))
		}
		put(t, filepath.Join(dir, "val", id, id+"_val.JPEG"), photo(t, class, 1000))
	}
	return Set{Source: ImageFolder, Dir: dir, Train: Auto, Val: Auto, IndexDir: Auto, Classes: len(ids)}
}

// member is one file of a tar.
type member struct {
	name    string
	content []uint8
}

func tarOf(t testing.TB, members ...member) []uint8 {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: m.name, Size: int64(len(m.content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// devkit is the packed devkit with these class numbers of the validation images.
func devkit(t testing.TB, ids ...int) []uint8 {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	text := strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", "\n"), "[]") + "\n"
	if _, err := z.Write(tarOf(t, member{"ILSVRC2012_devkit_t12/readme.txt", nil}, member{"ILSVRC2012_devkit_t12/data/" + truthFile, []uint8(text)})); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// imageNetSet writes the tars of ILSVRC2012 with so many training images of each of tinyIDs, and validation images of
// the last, the first and the last class.
func imageNetSet(t testing.TB, each int) Set {
	t.Helper()
	dir := t.TempDir()
	var classes, val []member
	for _, class := range []int{2, 0, 3, 1} { // in no order
		var images []member
		for i := range each {
			images = append(images, member{fmt.Sprintf("%s_%d.JPEG", tinyIDs[class], i), photo(t, class, i)})
		}
		classes = append(classes, member{tinyIDs[class] + ".tar", tarOf(t, images...)})
	}
	for i, class := range []int{3, 0, 3} {
		val = append(val, member{fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", i+1), photo(t, class, 1000+i)})
	}
	put(t, filepath.Join(dir, "ILSVRC2012_img_train.tar"), tarOf(t, classes...))
	put(t, filepath.Join(dir, "ILSVRC2012_img_val.tar"), tarOf(t, val...))
	put(t, filepath.Join(dir, devkitTar), devkit(t, 490, 449, 490))
	return Set{Source: ImageNetTar, Dir: dir, Train: Auto, Val: Auto, IndexDir: Auto, Classes: len(tinyIDs)}
}

func mustScan(t testing.TB, s Set, split Split) *Index {
	t.Helper()
	ix, err := s.Scan(split)
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

// rows are the names within the data set and labels of an index.
func rows(ix *Index) string {
	var b strings.Builder
	for i := range ix.Len() {
		fmt.Fprintf(&b, "%s %d\n", strings.TrimPrefix(ix.Name(i), ix.dir+"/"), ix.Label(i))
	}
	return b.String()
}
