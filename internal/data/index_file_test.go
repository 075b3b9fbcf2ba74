package data

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestSavedIndexIsTheSame(t *testing.T) {
	for name, s := range map[string]Set{"folders": folderSet(t, tinyIDs, 2), "tars": imageNetSet(t, 2)} {
		for _, split := range []Split{Train, Test} {
			want := mustScan(t, s, split)
			s.IndexDir = t.TempDir()
			if err := want.Save(s.IndexFile(split)); err != nil {
				t.Fatal(err)
			}
			have, err := s.Open(split)
			if err != nil {
				t.Fatal(err)
			}
			want.open, have.open = nil, nil
			if !reflect.DeepEqual(have, want) {
				t.Errorf("%s, %v: have %+v\nwant %+v", name, split, have, want)
			}
		}
	}
}

func TestStaleIndexIsRefused(t *testing.T) {
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		set    Set
		change func(s *Set)
		want   string
	}{
		"tar of another time": {imageNetSet(t, 1), func(s *Set) { _ = os.Chtimes(filepath.Join(s.Dir, "ILSVRC2012_img_train.tar"), later, later) }, "has changed since"},
		"tar of another size": {imageNetSet(t, 1), func(s *Set) {
			path := filepath.Join(s.Dir, "ILSVRC2012_img_train.tar")
			info, _ := os.Stat(path)
			_ = os.Truncate(path, info.Size()+512)
			_ = os.Chtimes(path, info.ModTime(), info.ModTime())
		}, "has changed since"},
		"tar gone": {imageNetSet(t, 1), func(s *Set) {
			_ = os.Rename(filepath.Join(s.Dir, "ILSVRC2012_img_train.tar"), filepath.Join(s.Dir, "t.tar"))
			s.Train = "ILSVRC2012_img_train.tar"
		}, "no such file"},
		"another tar": {imageNetSet(t, 1), func(s *Set) { s.Train = "ILSVRC2012_img_val.tar" }, "is of"},
		"image added": {folderSet(t, tinyIDs, 1), func(s *Set) {
			put(t, filepath.Join(s.Dir, "train", tinyIDs[0], "new.jpg"), nil)
			_ = os.Chtimes(filepath.Join(s.Dir, "train", tinyIDs[0]), later, later)
		}, "has changed since"},
		"classes listed": {folderSet(t, tinyIDs, 1), func(s *Set) { put(t, filepath.Join(s.Dir, ClassesFile), []uint8("a\nb\nc\nd\n")) }, "its classes are not those of classes.txt"},
	} {
		if err := mustScan(t, c.set, Train).Save(c.set.IndexFile(Train)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.set.Open(Train); err != nil {
			t.Errorf("%s: at first: %v", name, err)
		}
		c.change(&c.set)
		_, err := c.set.Open(Train)
		wantBad(t, name, err, c.want)
		wantBad(t, name, err, "make it anew with `senet data index`")
	}
}

func TestDamagedIndexIsRefused(t *testing.T) {
	s := imageNetSet(t, 1)
	whole := mustScan(t, s, Train).encode()
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		bad := slices.Clone(whole)
		switch r.IntN(3) {
		case 0:
			bad = bad[:r.IntN(len(bad))]
		case 1:
			bad = append(bad, uint8(r.IntN(256)))
		default:
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		}
		if _, err := decodeIndex(bad); err == nil {
			t.Fatal("a damaged index was taken")
		}
	}
	newer := slices.Clone(whole)
	newer[8] = 2
	if _, err := decodeIndex(newer); err == nil || err.Error() != "is of version 2, want 1" {
		t.Errorf("of another version: %v", err)
	}
}

// resealed is content with a checksum that fits.
func resealed(content []uint8) []uint8 {
	if len(content) < 4 {
		return content
	}
	body := content[:len(content)-4]
	return binary.LittleEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, castagnoli))
}

// FuzzDecodeIndex: whatever an index says, its samples lie in their tars, and little memory is taken.
func FuzzDecodeIndex(f *testing.F) {
	for _, s := range []Set{imageNetSet(f, 1), folderSet(f, tinyIDs[:2], 1)} {
		f.Add(mustScan(f, s, Train).encode())
	}
	f.Add([]uint8(indexMagic + "\x01\x00\x00\x00\x00\x00\xff\xff\xff\x7f\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, content []uint8) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ix, err := decodeIndex(resealed(content))
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64*uint64(len(content))+1<<20 {
			t.Errorf("%d bytes took %d", len(content), took)
		}
		if err != nil {
			return
		}
		for _, s := range ix.samples {
			if s.label < 0 || int(s.label) >= len(ix.ids) || s.size < 0 || s.offset < 0 {
				t.Errorf("sample %+v of %d classes", s, len(ix.ids))
			}
			if s.in >= 0 && s.offset+s.size > ix.containers[s.in].size {
				t.Errorf("sample %+v in %+v", s, ix.containers[s.in])
			}
		}
	})
}
