package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var tinyView = View{H: 16, W: 16, C: 3, CropFraction: 0.875, Bilinear: true}

func newPictures(t testing.TB, s Set, split Split) *Pictures {
	t.Helper()
	src, err := NewPictures(mustScan(t, s, split), tinyView)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// cropped are options that change all that can be changed.
func cropped(batch, workers int) LoaderOptions {
	return LoaderOptions{BatchSize: batch, Workers: workers, Seed: 3, Train: true, Augment: Augment{Flip: true, MinScale: 0.08, Pixels: func() PixelChange {
		return func(r *rand.Rand, pixels []uint8, _, _, _ int) { pixels[0] = uint8(r.IntN(256)) }
	}}}
}

// TestImageFilesAreTheSameForAnyNumberOfWorkersAndFromAnyBatch: whichever way they lie on the disk.
func TestImageFilesAreTheSameForAnyNumberOfWorkersAndFromAnyBatch(t *testing.T) {
	folders, tars := folderSet(t, tinyIDs, 9), imageNetSet(t, 9)
	var want []content
	for _, s := range []Set{folders, tars} {
		src := newPictures(t, s, Train)
		for _, workers := range []int{1, 2, 4} {
			l := newLoader(t, src, cropped(8, workers))
			have := drain(t, l, 2, 0)
			if want == nil {
				want = have
			}
			if !slices.EqualFunc(have, want, content.equal) {
				t.Errorf("%s with %d workers differs", s.Source, workers)
			}
			for first := range l.Batches() + 1 {
				if part := drain(t, l, 2, first); !slices.EqualFunc(part, want[first:], content.equal) {
					t.Errorf("%s with %d workers: from batch %d on the epoch differs", s.Source, workers, first)
				}
			}
		}
	}
	l := newLoader(t, newPictures(t, tars, Train), cropped(8, 1))
	pixels := make([]uint8, 16*16*3)
	for i, p := range l.sampler.order(2)[:8] {
		if _, err := l.Sample(2, p.index, pixels); err != nil || !slices.Equal(pixels, want[0].pixels[i*len(pixels):(i+1)*len(pixels)]) {
			t.Errorf("sample %d drawn alone differs, error %v", p.index, err)
		}
	}
}

func TestEvaluationShowsTheCentre(t *testing.T) {
	src := newPictures(t, folderSet(t, tinyIDs, 2), Train)
	got := drain(t, newLoader(t, src, LoaderOptions{BatchSize: 3}), 0, 0)
	pixels := make([]uint8, 16*16*3)
	for i := range src.Len() {
		label, err := src.Read(i, pixels)
		if err != nil || label != got[i/3].labels[i%3] || !slices.Equal(pixels, got[i/3].pixels[i%3*len(pixels):(i%3+1)*len(pixels)]) {
			t.Errorf("image %d differs, error %v", i, err)
		}
		if red := int(pixels[0]); red < 40*int(label+1)-8 || red > 40*int(label+1)+8 {
			t.Errorf("image %d of class %d is as red as %d", i, label, red)
		}
	}
	for _, i := range []int{-1, src.Len()} {
		if _, err := src.Read(i, pixels); err == nil {
			t.Errorf("image %d was read", i)
		}
	}
	if _, err := src.Read(0, pixels[1:]); err == nil {
		t.Error("a short image was filled")
	}
}

// spoil breaks an image file in every way that a disk, a download or a person can.
var spoil = map[string]struct {
	do   func(t *testing.T, path string)
	want string
}{
	"truncated": {func(t *testing.T, path string) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()/2); err != nil {
			t.Fatal(err)
		}
	}, "truncated"},
	"empty":      {func(t *testing.T, path string) { put(t, path, nil) }, "not a JPEG"},
	"wrong type": {func(t *testing.T, path string) { put(t, path, []uint8("<html>404</html>")) }, "not a JPEG"},
	"bomb":       {func(t *testing.T, path string) { put(t, path, hugePNG()) }, "image of 16000x16000 pixels"},
	"vanished":   {func(t *testing.T, path string) { _ = os.Remove(path) }, "no such file"},
	"folder":     {func(t *testing.T, path string) { _ = os.Remove(path); _ = os.Mkdir(path, 0o755) }, "not a regular file"},
	"pipe":       {func(t *testing.T, path string) { _ = os.Remove(path); _ = unix.Mkfifo(path, 0o644) }, "not a regular file"},
}

// hugePNG claims 16000 x 16000 pixels in a few bytes.
func hugePNG() []uint8 {
	header := []uint8("IHDR\x00\x00\x3e\x80\x00\x00\x3e\x80\x08\x02\x00\x00\x00")
	b := append([]uint8("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), header...)
	return append(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(header)), make([]uint8, 20)...)
}

func TestBadImageIsReplacedInTrainingAndFatalInEvaluation(t *testing.T) {
	for name, c := range spoil {
		s := folderSet(t, tinyIDs, 6)
		src := newPictures(t, s, Train)
		healthy := drain(t, newLoader(t, src, cropped(6, 1)), 0, 0)
		const bad = 8 // the third of class 1
		c.do(t, src.Name(bad))
		var told []error
		var want []content
		for _, workers := range []int{1, 2, 4} {
			o := cropped(6, workers)
			told = nil
			o.Bad = func(err error) { told = append(told, err) }
			l := newLoader(t, src, o)
			have := slices.Concat(drain(t, l, 0, 0), drain(t, l, 1, 0))
			if want == nil {
				want = have
			}
			if !slices.EqualFunc(have, want, content.equal) {
				t.Errorf("%s: with %d workers another image stands in", name, workers)
			}
			if len(told) != 1 {
				t.Fatalf("%s: was told %v, want it once", name, told)
			}
			wantBad(t, name, told[0], c.want)
			wantBad(t, name, told[0], src.Name(bad))
		}
		changed := 0
		for b, was := range healthy {
			if !slices.Equal(was.labels, want[b].labels) {
				t.Errorf("%s: batch %d has labels %v, was %v", name, b, want[b].labels, was.labels)
			}
			for row := range 6 {
				if !slices.Equal(was.pixels[row*768:(row+1)*768], want[b].pixels[row*768:(row+1)*768]) {
					changed++
				}
			}
		}
		if changed != 1 {
			t.Errorf("%s: %d of 24 rows changed, want that of the bad image", name, changed)
		}
		it := newLoader(t, src, LoaderOptions{BatchSize: 24}).Epoch(t.Context(), 0, 0)
		_, err := it.Next()
		wantBad(t, name, err, src.Name(bad))
		it.Close()
	}
}

func TestTooManyBadImagesStopTraining(t *testing.T) {
	src := newPictures(t, folderSet(t, tinyIDs, 6), Train)
	put(t, src.Name(3), nil)
	put(t, src.Name(4), nil) // one of 24 is allowed
	it := newLoader(t, src, cropped(24, 2)).Epoch(t.Context(), 0, 0)
	defer it.Close()
	_, err := it.Next()
	wantBad(t, "two", err, "more than 1 of 24 images cannot be read; `senet data verify` lists them")
}

func TestClassWithoutAnyGoodImageStopsTraining(t *testing.T) {
	src := newPictures(t, folderSet(t, tinyIDs, 1), Train)
	put(t, src.Name(2), nil)
	it := newLoader(t, src, cropped(4, 1)).Epoch(t.Context(), 0, 0)
	defer it.Close()
	_, err := it.Next()
	wantBad(t, "only image", err, "no other image of the class can be read")
}

// TestSubstitutesCoverTheClass: each other image of it once, then none.
func TestSubstitutesCoverTheClass(t *testing.T) {
	src := newPictures(t, folderSet(t, tinyIDs, 6), Train)
	s := substitutes{ix: src.Index}
	first := map[int]bool{}
	for i := range src.Len() {
		seen := map[int]bool{i: true}
		for try := 1; ; try++ {
			j, ok := s.of(i, try)
			if !ok {
				break
			}
			if try == 1 {
				first[j] = true
			}
			if seen[j] || src.Label(j) != src.Label(i) {
				t.Errorf("image %d: %d stands in on try %d", i, j, try)
			}
			seen[j] = true
		}
		if len(seen) != 6 {
			t.Errorf("image %d: %d of its class", i, len(seen))
		}
	}
	if len(first) < 8 {
		t.Errorf("only %d images are ever the first to stand in", len(first))
	}
}

func TestTarThatShrinksWhileItIsReadIsAnError(t *testing.T) {
	s := imageNetSet(t, 3)
	src := newPictures(t, s, Test)
	if err := os.Truncate(filepath.Join(s.Dir, "ILSVRC2012_img_val.tar"), 1000); err != nil {
		t.Fatal(err)
	}
	_, err := src.Read(2, make([]uint8, 768))
	wantBad(t, "shrunk", err, "ILSVRC2012_val_00000003.JPEG: byte 0 of")
}

func TestOptionsThatDoNotGoWithImageFilesAreRefused(t *testing.T) {
	src := newPictures(t, folderSet(t, tinyIDs, 1), Train)
	for _, c := range []struct {
		o    LoaderOptions
		want string
	}{
		{LoaderOptions{BatchSize: 1, Augment: Augment{Pad: 1, MinScale: 1}}, "are not padded (by 1)"},
		{LoaderOptions{BatchSize: 1, Train: true}, "crops of at least 0"},
		{LoaderOptions{BatchSize: 1, Train: true, Augment: Augment{MinScale: 1.5}}, "crops of at least 1.5"},
		{LoaderOptions{BatchSize: 1, Repeats: -1}, "-1 repeats"},
		{LoaderOptions{BatchSize: 1, Rank: 1, Ranks: 1}, "rank 1 of 1"},
		{LoaderOptions{BatchSize: 1, Rank: -1, Ranks: 2}, "rank -1 of 2"},
		{LoaderOptions{BatchSize: 2, Train: true, Augment: Augment{MinScale: 1}, Ranks: 4}, "4 images, fewer than one training batch of 8"},
	} {
		if _, err := NewLoader(src, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error is %v, want %q", c.o, err, c.want)
		}
	}
	if _, err := NewPictures(src.Index, View{H: 2, W: 3, C: 3, CropFraction: 1}); err == nil {
		t.Error("images that are no squares were made")
	}
}

// resident is the process's memory in bytes, C's included.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var all, pages int
	if _, err := fmt.Sscan(string(text), &all, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestMemoryStaysFlatOverEpochs(t *testing.T) {
	src := newPictures(t, folderSet(t, tinyIDs, 60), Train)
	l := newLoader(t, src, cropped(8, 2))
	epoch := func(e int) {
		it := l.Epoch(t.Context(), e, 0)
		defer it.Close()
		for {
			b, err := it.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			it.Recycle(b)
		}
	}
	files := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(open)
	}
	for e := range 4 {
		epoch(e)
	}
	runtime.GC()
	before, opened := resident(t), files()
	for e := range 3 * 8 { // 5760 images
		epoch(e)
	}
	runtime.GC()
	if grown := resident(t) - before; grown > 8<<20 {
		t.Errorf("memory grew by %d bytes over epochs", grown)
	}
	if now := files(); now > opened {
		t.Errorf("%d files are open, %d were", now, opened)
	}
}
