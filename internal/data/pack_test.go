package data

import (
	"bytes"
	"context"
	"errors"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var packed = PackOptions{Name: "train", PerShard: 5, Shuffle: true, Workers: 2}

// shardsIn reads every file of a folder.
func shardsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(content)
	}
	return all
}

func pack(t *testing.T, ix *Index, dir string, o PackOptions) map[string]string {
	t.Helper()
	if err := Pack(t.Context(), ix, dir, o, nil); err != nil {
		t.Fatal(err)
	}
	return shardsIn(t, dir)
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if a[name] != b[name] {
			return false
		}
	}
	return true
}

// TestShardsHoldTheImagesAsTheyAre: each once, with its label, under a key that tells its name, the classes mixed.
func TestShardsHoldTheImagesAsTheyAre(t *testing.T) {
	s := folderSet(t, tinyIDs, 4)
	ix := mustScan(t, s, Train)
	dir := t.TempDir()
	files := pack(t, ix, dir, packed)
	if len(files) != 4+2 || files[ClassesFile] != strings.Join(tinyIDs, "\n")+"\n" {
		t.Errorf("have %d files, classes %q", len(files), files[ClassesFile])
	}
	out := mustScan(t, Set{Source: WebDataset, Dir: dir, Train: Auto, Val: Auto, IndexDir: Auto, Classes: 4}, Train)
	if out.Len() != ix.Len() || !slices.Equal(out.Classes(), ix.Classes()) {
		t.Fatalf("%d images of %v", out.Len(), out.Classes())
	}
	order := permutation(0, 0, ix.Len())
	for i, j := range order {
		was, err := ix.ReadFile(j, nil)
		if err != nil {
			t.Fatal(err)
		}
		is, err := out.ReadFile(i, nil)
		if err != nil || !bytes.Equal(is, was) || out.Label(i) != ix.Label(j) {
			t.Errorf("image %d has label %d, error %v", i, out.Label(i), err)
		}
		if want := strings.TrimSuffix(filepath.Base(ix.Name(j)), ".JPEG") + ".jpg"; !strings.HasSuffix(out.Name(i), want) {
			t.Errorf("%s is packed as %s", ix.Name(j), out.Name(i))
		}
	}
	val := pack(t, ix, t.TempDir(), PackOptions{Name: "val", PerShard: 100})
	if !strings.HasPrefix(val["val-000000.tar"], "00000000_n01440764_0.jpg") {
		t.Error("unmixed shards do not begin with the first image")
	}
}

// TestPackingGoesOnToTheSameBytes: after it was stopped, whatever that left behind, and with any number of workers.
func TestPackingGoesOnToTheSameBytes(t *testing.T) {
	ix := mustScan(t, folderSet(t, tinyIDs, 6), Train)
	want := pack(t, ix, t.TempDir(), packed)
	for stop := range 6 {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		o := packed
		o.Workers = 1
		if stop == 0 {
			cancel()
		}
		err := Pack(ctx, ix, dir, o, func(n int) {
			if n == stop {
				cancel()
			}
		})
		cancel()
		if stop < 5 && !errors.Is(err, context.Canceled) {
			t.Errorf("stopped after %d: error is %v", stop, err)
		}
		if have := len(shardsIn(t, dir)); have != stop+2 {
			t.Errorf("stopped after %d: %d files", stop, have)
		}
		put(t, filepath.Join(dir, ".train-000004.tar.123.part"), []uint8("half of it")) // of a process that was killed
		put(t, filepath.Join(dir, ".classes.txt.123.part"), nil)
		if have := pack(t, ix, dir, packed); !same(have, want) {
			t.Errorf("stopped after %d: other bytes", stop)
		}
	}
}

func TestPackingShrinksWhatIsLarger(t *testing.T) {
	s := folderSet(t, tinyIDs, 3)
	o := packed
	o.ShortSide, o.Quality = 24, 90
	dir := t.TempDir()
	pack(t, mustScan(t, s, Train), dir, o)
	out := mustScan(t, Set{Source: WebDataset, Dir: dir, Train: Auto, Val: Auto, IndexDir: Auto, Classes: 4}, Train)
	shrunk := 0
	for i := range out.Len() {
		b, err := out.ReadFile(i, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := image.DecodeConfig(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if min(c.Width, c.Height) > 24 {
			t.Errorf("image %d has %dx%d pixels", i, c.Width, c.Height)
		}
		if min(c.Width, c.Height) == 24 {
			shrunk++
		}
		m, _, err := image.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		red, _, _, _ := m.At(c.Width/2, c.Height/2).RGBA()
		if want := 40 * (int(out.Label(i)) + 1); int(red>>8) < want-12 || int(red>>8) > want+12 {
			t.Errorf("image %d of class %d is as red as %d", i, out.Label(i), red>>8)
		}
	}
	if shrunk < 4 {
		t.Errorf("only %d images were shrunk", shrunk)
	}
}

func TestPackingRefusesWhatDoesNotFit(t *testing.T) {
	s := folderSet(t, tinyIDs, 2)
	ix := mustScan(t, s, Train)
	dir := t.TempDir()
	pack(t, ix, dir, packed)
	other := packed
	other.PerShard = 6
	if err := Pack(t.Context(), ix, dir, other, nil); err == nil || !strings.Contains(err.Error(), "train.pack.json is of other images or options") {
		t.Errorf("other options: %v", err)
	}
	put(t, filepath.Join(s.Dir, "train", tinyIDs[0], "new.jpg"), photo(t, 0, 9))
	if err := Pack(t.Context(), mustScan(t, s, Train), dir, packed, nil); err == nil || !strings.Contains(err.Error(), "train.pack.json is of other images") {
		t.Errorf("other images: %v", err)
	}
	for _, o := range []PackOptions{{Name: "a"}, {Name: "a", PerShard: 1, ShortSide: -1}, {Name: "a", PerShard: 1, ShortSide: 9}, {Name: "a", PerShard: 1, ShortSide: 9, Quality: 101}} {
		if err := Pack(t.Context(), ix, t.TempDir(), o, nil); err == nil {
			t.Errorf("%+v was made", o)
		}
	}
	put(t, ix.Name(1), nil)
	empty := t.TempDir()
	err := Pack(t.Context(), ix, empty, packed, nil)
	wantBad(t, "empty image", err, ix.Name(1))
	if left, _ := filepath.Glob(filepath.Join(empty, ".*.part")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestVerifyNamesEveryBadImageInOrder(t *testing.T) {
	ix := mustScan(t, folderSet(t, tinyIDs, 6), Train)
	if bad, err := Verify(t.Context(), ix, 2, nil); err != nil || len(bad) != 0 {
		t.Fatalf("of good images: %v, %v", bad, err)
	}
	i := 20
	for _, c := range spoil {
		c.do(t, ix.Name(i))
		i -= 3
	}
	bad, err := Verify(t.Context(), ix, 3, nil)
	if err != nil || len(bad) != len(spoil) {
		t.Fatalf("%d bad images of %d: %v", len(bad), len(spoil), err)
	}
	for k, err := range bad {
		wantBad(t, "verify", err, ix.Name(20-3*(len(spoil)-1-k)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, ix, 2, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
