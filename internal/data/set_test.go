package data

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestImageNetTableIsWhole(t *testing.T) {
	all := imageNet()
	seen := map[int]bool{}
	for i, c := range all {
		if len(c.wnid) != 9 || c.wnid[0] != 'n' || c.name == "" || c.devkit < 1 || c.devkit > 1000 || seen[c.devkit] || i > 0 && all[i-1].wnid >= c.wnid {
			t.Errorf("class %d: %+v", i, c)
		}
		seen[c.devkit] = true
	}
	if len(all) != 1000 {
		t.Errorf("%d classes", len(all))
	}
	// The first images of the validation set are devkit's 490, 361 and 171 and everyone's 65, 970 and 230.
	for devkit, label := range map[int]int{490: 65, 361: 970, 171: 230, 449: 0} {
		if all[label].devkit != devkit {
			t.Errorf("devkit's %d is not label %d", devkit, label)
		}
	}
	if all[0].name != "tench" || className("n01440764") != "n01440764 tench" || className("cat") != "cat" {
		t.Errorf("class 0 is %+v", all[0])
	}
}

func TestFolders(t *testing.T) {
	s := folderSet(t, tinyIDs[:2], 2)
	put(t, filepath.Join(s.Dir, "train", tinyIDs[1], "deeper", "x.png"), []uint8("x"))
	put(t, filepath.Join(s.Dir, "train", tinyIDs[1], "README.txt"), []uint8("x"))
	put(t, filepath.Join(s.Dir, "train", tinyIDs[1], ".hidden.jpg"), []uint8("x"))
	ix := mustScan(t, s, Train)
	want := `train/n01440764/n01440764_0.JPEG 0
train/n01440764/n01440764_1.JPEG 0
train/n01443537/deeper/x.png 1
train/n01443537/n01443537_0.JPEG 1
train/n01443537/n01443537_1.JPEG 1
`
	if rows(ix) != want {
		t.Errorf("have\n%swant\n%s", rows(ix), want)
	}
	if want := []string{"n01440764 tench", "n01443537 goldfish"}; !slices.Equal(ix.Classes(), want) {
		t.Errorf("classes are %v", ix.Classes())
	}
	if b, err := ix.ReadFile(1, nil); err != nil || !bytes.Equal(b, photo(t, 0, 1)) {
		t.Errorf("image 1: %d bytes, error %v", len(b), err)
	}
}

// TestALabelIsTheSameInBothSplits: also where validation has no image of a class, and where a list gives the order.
func TestALabelIsTheSameInBothSplits(t *testing.T) {
	s := folderSet(t, tinyIDs, 1)
	if err := os.RemoveAll(filepath.Join(s.Dir, "val", tinyIDs[1])); err != nil {
		t.Fatal(err)
	}
	val := mustScan(t, s, Test)
	if want := "val/n01440764/n01440764_val.JPEG 0\nval/n01484850/n01484850_val.JPEG 2\nval/n01751748/n01751748_val.JPEG 3\n"; rows(val) != want || len(val.Classes()) != 4 {
		t.Errorf("have\n%sof %v", rows(val), val.Classes())
	}
	reversed := slices.Clone(tinyIDs)
	slices.Reverse(reversed)
	put(t, filepath.Join(s.Dir, ClassesFile), []uint8(strings.Join(reversed, "\r\n")))
	val, train := mustScan(t, s, Test), mustScan(t, s, Train)
	if want := "val/n01440764/n01440764_val.JPEG 3\nval/n01484850/n01484850_val.JPEG 1\nval/n01751748/n01751748_val.JPEG 0\n"; rows(val) != want || !slices.Equal(val.ids, train.ids) {
		t.Errorf("by the list have\n%s", rows(val))
	}
}

func TestTarsOfImageNetAreReadInPlace(t *testing.T) {
	s := imageNetSet(t, 2)
	train, val := mustScan(t, s, Train), mustScan(t, s, Test)
	if want := "ILSVRC2012_img_val.tar:ILSVRC2012_val_00000001.JPEG 3\nILSVRC2012_img_val.tar:ILSVRC2012_val_00000002.JPEG 0\nILSVRC2012_img_val.tar:ILSVRC2012_val_00000003.JPEG 3\n"; rows(val) != want {
		t.Errorf("validation has\n%s", rows(val))
	}
	if !slices.Equal(train.ids, tinyIDs) || !slices.Equal(val.ids, tinyIDs) || train.Len() != 8 {
		t.Fatalf("classes %v and %v, %d images", train.ids, val.ids, train.Len())
	}
	for i := range train.Len() {
		class, k := i/2, i%2
		if want := fmt.Sprintf("%s/ILSVRC2012_img_train.tar:%s.tar:%s_%d.JPEG", s.Dir, tinyIDs[class], tinyIDs[class], k); train.Name(i) != want || int(train.Label(i)) != class {
			t.Errorf("image %d is %s, label %d", i, train.Name(i), train.Label(i))
		}
		if b, err := train.ReadFile(i, make([]uint8, 3)); err != nil || !bytes.Equal(b, photo(t, class, k)) {
			t.Errorf("image %d: %d bytes, error %v", i, len(b), err)
		}
	}
	if err := os.Remove(filepath.Join(s.Dir, "ILSVRC2012_img_train.tar")); err != nil {
		t.Fatal(err)
	}
	if val := mustScan(t, s, Test); len(val.ids) != 1000 || val.Label(0) != 65 || val.Label(1) != 0 {
		t.Errorf("without the training tar: %d classes, labels %d and %d, want 65 and 0", len(val.ids), val.Label(0), val.Label(1))
	}
}

func TestFlatValidationFolderTakesTheDevkitsLabels(t *testing.T) {
	for _, place := range []string{"ILSVRC2012_devkit_t12.tar.gz", truthFile, "ILSVRC2012_devkit_t12/data/" + truthFile} {
		s := folderSet(t, tinyIDs, 1)
		if err := os.RemoveAll(filepath.Join(s.Dir, "val")); err != nil {
			t.Fatal(err)
		}
		for i, class := range []int{2, 0} {
			put(t, filepath.Join(s.Dir, "val", fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", i+1)), photo(t, class, i))
		}
		_, err := s.Scan(Test)
		wantBad(t, "flat", err, "nothing tells their classes: put ILSVRC2012_devkit_t12.tar.gz")
		content := []uint8("442\n449\n")
		if strings.HasSuffix(place, ".gz") {
			content = devkit(t, 442, 449)
		}
		put(t, filepath.Join(s.Dir, place), content)
		if have, want := rows(mustScan(t, s, Test)), "val/ILSVRC2012_val_00000001.JPEG 2\nval/ILSVRC2012_val_00000002.JPEG 0\n"; have != want {
			t.Errorf("%s: have\n%s", place, have)
		}
	}
}

func wantBad(t *testing.T, what string, err error, text string) {
	t.Helper()
	if !errors.Is(err, ErrBadData) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: error is %v, want an ErrBadData with %q", what, err, text)
	}
}

func TestFoldersWhoseLabelsAreUnknownAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *Set)
		split Split
		want  string
	}{
		"no split":        {func(s *Set) { _ = os.RemoveAll(filepath.Join(s.Dir, "train")) }, Train, "has no train"},
		"named split":     {func(s *Set) { s.Train = "nowhere" }, Train, "nowhere: no such file"},
		"no data set":     {func(s *Set) { s.Dir = filepath.Join(s.Dir, "nowhere") }, Train, "has no train"},
		"loose image":     {func(s *Set) { put(t, filepath.Join(s.Dir, "train", "x.jpg"), nil) }, Train, "x.jpg lies beside the class folders"},
		"empty class":     {func(s *Set) { _ = os.Mkdir(filepath.Join(s.Dir, "train", "n09999999"), 0o755) }, Train, "n09999999: has no images"},
		"strange class":   {func(s *Set) { put(t, filepath.Join(s.Dir, "val", "n09999999", "x.jpg"), nil) }, Test, "1 of 5 class folders are not among the 4 classes of the training folders or of classes.txt, the first is n09999999"},
		"not in the list": {func(s *Set) { put(t, filepath.Join(s.Dir, ClassesFile), []uint8("n01440764\n")) }, Train, "3 of 4 class folders"},
		"repeated class":  {func(s *Set) { put(t, filepath.Join(s.Dir, ClassesFile), []uint8("a\nb\na\n")) }, Train, `line 3 repeats class "a" of line 1`},
		"blank class":     {func(s *Set) { put(t, filepath.Join(s.Dir, ClassesFile), []uint8("a\n\nb\n")) }, Train, `line 2 is ""`},
		"no classes":      {func(s *Set) { put(t, filepath.Join(s.Dir, ClassesFile), nil) }, Train, "has no classes"},
		"circular link":   {func(s *Set) { _ = os.Symlink("circle", filepath.Join(s.Dir, "train", "circle")) }, Train, "too many levels"},
		"split is a file": {func(s *Set) { put(t, filepath.Join(s.Dir, "file"), nil); s.Train = "file" }, Train, "not a directory"},
		"flat, strange":   {func(s *Set) { flat(t, s, "cat.jpg", "490\n") }, Test, "is not named as ILSVRC2012's"},
		"flat, too many":  {func(s *Set) { flat(t, s, "ILSVRC2012_val_00000002.JPEG", "490\n") }, Test, "tells the classes of images 1 to 1 only"},
		"flat, no class":  {func(s *Set) { flat(t, s, "ILSVRC2012_val_00000001.JPEG", "1\n") }, Test, "shows class n02119789"},
		"flat, not ids":   {func(s *Set) { flat(t, s, "ILSVRC2012_val_00000001.JPEG", "0\n") }, Test, "want a class number from 1 to 1000"},
	} {
		s := folderSet(t, tinyIDs, 1)
		c.spoil(&s)
		_, err := s.Scan(c.split)
		wantBad(t, name, err, c.want)
	}
}

func flat(t *testing.T, s *Set, name, truth string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(s.Dir, "val")); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(s.Dir, "val", name), nil)
	put(t, filepath.Join(s.Dir, truthFile), []uint8(truth))
}

// TestNumberedFoldersAreRefused: as text their order is 0, 1, 10, 2, and 1 to 1000 may be the devkit's numbers.
func TestNumberedFoldersAreRefused(t *testing.T) {
	for _, first := range []int{0, 1} {
		var ids []string
		for i := range 12 {
			ids = append(ids, strconv.Itoa(first+i))
		}
		s := folderSet(t, ids, 1)
		for _, split := range []Split{Train, Test} {
			_, err := s.Scan(split)
			wantBad(t, "numbers", err, "list the folders in classes.txt")
		}
		put(t, filepath.Join(s.Dir, ClassesFile), []uint8(strings.Join(ids, "\n")))
		if ix := mustScan(t, s, Test); ix.Label(3) != 11 || !strings.Contains(ix.Name(3), "/"+ids[11]+"/") {
			t.Errorf("with the list image 3 is %s, label %d", ix.Name(3), ix.Label(3))
		}
	}
}
