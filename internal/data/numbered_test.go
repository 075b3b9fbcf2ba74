package data

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func shardSet(t testing.TB, classes int) Set {
	t.Helper()
	return Set{Source: WebDataset, Dir: t.TempDir(), Train: Auto, Val: Auto, IndexDir: Auto, Classes: classes}
}

func TestShardsAreGroupedByKey(t *testing.T) {
	s := shardSet(t, 4)
	put(t, filepath.Join(s.Dir, "train-000.tar"), tarOf(t,
		member{"a/0001.cls", []uint8("3\n")}, member{"a/0001.jpg", []uint8("abc")}, member{"a/0001.json", []uint8("{}")},
		member{"b/0001.seg.png.txt", nil}, member{"b/0001.JPEG", []uint8("defg")}, member{"b/0001.CLS", []uint8(" 0 ")}))
	put(t, filepath.Join(s.Dir, "train-001.tar"), tarOf(t, member{"x.y.png.txt", nil}, member{"c.png", []uint8("h")}, member{"c.cls", []uint8("1")}))
	want := "train-000.tar:a/0001.jpg 3\ntrain-000.tar:b/0001.JPEG 0\ntrain-001.tar:c.png 1\n"
	for _, pattern := range []string{Auto, "train-{000..001}.tar", "train-00{0..1}.tar", "train-*.tar", "{0..0}/../train-{000..001}.tar", filepath.Join(s.Dir, "train-00[01].tar")} {
		s.Train = pattern
		ix := mustScan(t, s, Train)
		if rows(ix) != want {
			t.Errorf("%s: have\n%s", pattern, rows(ix))
		}
		if b, err := ix.ReadFile(1, nil); err != nil || string(b) != "defg" {
			t.Errorf("%s: image 1 is %q, error %v", pattern, b, err)
		}
		if !slices.Equal(ix.Classes(), []string{"0", "1", "2", "3"}) {
			t.Errorf("classes are %v", ix.Classes())
		}
	}
	s.Classes = 1000
	if ix := mustScan(t, s, Train); ix.Classes()[3] != "n01491361 tiger shark" {
		t.Errorf("of 1000 classes the fourth is %q", ix.Classes()[3])
	}
	put(t, filepath.Join(s.Dir, ClassesFile), []uint8("w\nx\ny\nz\n"))
	if ix := mustScan(t, s, Train); !slices.Equal(ix.Classes(), []string{"w", "x", "y", "z"}) {
		t.Errorf("by the list the classes are %v", ix.Classes())
	}
}

func TestBadShardsAreRefused(t *testing.T) {
	jpg, cls := member{"a.jpg", []uint8("x")}, member{"a.cls", []uint8("1")}
	for name, c := range map[string]struct {
		members []member
		want    string
	}{
		"no label":       {[]member{jpg}, "train-0.tar: a.jpg: has no label: a.cls is missing"},
		"no image":       {[]member{cls}, "a.cls: has no image"},
		"two images":     {[]member{jpg, cls, {"a.png", nil}}, `"a.png": is the second image of its key`},
		"two labels":     {[]member{jpg, cls, cls}, `"a.cls": comes twice`},
		"label too high": {[]member{jpg, {"a.cls", []uint8("4")}}, `label is "4", want 0 to 3`},
		"negative label": {[]member{jpg, {"a.cls", []uint8("-1")}}, `label is "-1"`},
		"no number":      {[]member{jpg, {"a.cls", []uint8("cat")}}, `label is "cat"`},
		"empty label":    {[]member{jpg, {"a.cls", nil}}, `label is ""`},
		"long label":     {[]member{jpg, {"a.cls", []uint8(strings.Repeat("0", 20))}}, "has 20 bytes, want a label"},
		"nothing":        {nil, "has no images"},
	} {
		s := shardSet(t, 4)
		put(t, filepath.Join(s.Dir, "train-0.tar"), tarOf(t, c.members...))
		_, err := s.Scan(Train)
		wantBad(t, name, err, c.want)
	}
	s := shardSet(t, 4)
	_, err := s.Scan(Train)
	wantBad(t, "no shards", err, "no shards match")
	put(t, filepath.Join(s.Dir, "train-0.tar"), tarOf(t, jpg, cls))
	s.Train = "train-{0..1}.tar"
	_, err = s.Scan(Train)
	wantBad(t, "missing shard", err, "train-1.tar: no such file")
	for _, pattern := range []string{"train-{1..0}.tar", "train-{0..999999999}.tar", "{0..999}{0..999}.tar"} {
		s.Train = pattern
		_, err = s.Scan(Train)
		wantBad(t, pattern, err, "shards")
	}
}

func TestLists(t *testing.T) {
	dir := t.TempDir()
	s := Set{Source: List, Dir: dir, Train: Auto, Val: "other/list", IndexDir: Auto, Classes: 3}
	put(t, filepath.Join(dir, "train.txt"), []uint8("a b/c d.jpg 2\r\n/abs/e.jpg\t0\n../f.jpg 1"))
	ix := mustScan(t, s, Train)
	if len(ix.samples) != 3 || ix.Name(0) != filepath.Join(dir, "a b/c d.jpg") || ix.Label(0) != 2 || ix.Name(1) != "/abs/e.jpg" || ix.Label(1) != 0 {
		t.Errorf("have\n%s", rows(ix))
	}
	put(t, filepath.Join(dir, "other", "list"), []uint8("g.jpg 0\n"))
	if ix := mustScan(t, s, Test); rows(ix) != "g.jpg 0\n" {
		t.Errorf("have\n%s", rows(ix))
	}
	for text, want := range map[string]string{
		"a.jpg": "line 1 is", "a.jpg 0\n\nb.jpg 1\n": `line 2 is ""`, "a.jpg 3\n": `line 1: label is "3", want 0 to 2`, " 1\n": "line 1 is",
		"a.jpg x\n": "label is", "a\x00.jpg 1\n": "line 1 is", "": "has no images",
	} {
		put(t, filepath.Join(dir, "train.txt"), []uint8(text))
		_, err := s.Scan(Train)
		wantBad(t, fmt.Sprintf("%q", text), err, want)
	}
}

func FuzzParseList(f *testing.F) {
	for _, seed := range []string{"a.jpg 0\nb c.jpg 1\n", "a\t2", " 1\n", "\n", "a 99999999999999999999"} {
		f.Add([]uint8(seed))
	}
	f.Fuzz(func(t *testing.T, text []uint8) {
		samples, err := parseList(text, 3)
		for _, s := range samples {
			if s.label < 0 || s.label > 2 || s.name == "" || !isPrintable(s.name) || s.in != -1 {
				t.Errorf("sample %+v", s)
			}
		}
		if err == nil && strings.Count(strings.TrimSuffix(string(text), "\n"), "\n")+1 != len(samples) && len(text) > 0 {
			t.Errorf("%d samples of %q", len(samples), text)
		}
	})
}

func FuzzParseClassesAndTruth(f *testing.F) {
	for _, seed := range []string{"n01440764\nn01443537\n", "490\n361\n171\n", "a\na\n", "\x1b[31m\n", "1000"} {
		f.Add([]uint8(seed))
	}
	f.Fuzz(func(t *testing.T, text []uint8) {
		if ids, err := parseClasses(text); err == nil {
			if len(labelsOf(ids)) != len(ids) || len(ids) == 0 {
				t.Errorf("classes %q", ids)
			}
		}
		if ids, err := parseTruth(text); err == nil {
			for _, id := range ids {
				if _, ok := wnidOfDevkit()[id]; !ok {
					t.Errorf("class %d", id)
				}
			}
		}
	})
}
