package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

const (
	devkitTar   = "ILSVRC2012_devkit_t12.tar.gz"
	truthFile   = "ILSVRC2012_validation_ground_truth.txt"
	devkitBytes = 256 << 20 // that the devkit may unpack to; it has 4 MB
)

// groundTruth holds the devkit's class number of each validation image: entry i is that of image i+1. They number
// the classes in the devkit's own order, which is not that of the labels.
type groundTruth struct {
	path string
	ids  []int // 1 to 1000
}

// groundTruth reads the devkit's list of the classes of the images in where: from its own file in the data set's folder or where
// the devkit has it, or from the packed devkit.
func (s Set) groundTruth(where string) (groundTruth, error) {
	for _, dir := range []string{"", "data", "ILSVRC2012_devkit_t12/data", "devkit/data"} {
		path := filepath.Join(s.Dir, dir, truthFile)
		text, err := readText(path, maxLabelBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return groundTruth{}, err
		}
		return newGroundTruth(path, text)
	}
	path := filepath.Join(s.Dir, devkitTar)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return groundTruth{}, fmt.Errorf("%w: %s: has images but no class folders, and nothing tells their classes: put %s or the %s from it into %s, or sort the images into class folders",
			ErrBadData, where, devkitTar, truthFile, s.Dir)
	}
	if err != nil {
		return groundTruth{}, fmt.Errorf("%w: %w", ErrBadData, err)
	}
	text, err := unpackTruth(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return groundTruth{}, fmt.Errorf("%w: %s: %w", ErrBadData, path, err)
	}
	return newGroundTruth(path, text)
}

// unpackTruth finds the list in the packed devkit.
func unpackTruth(r io.Reader) ([]byte, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("not a gzip file: %w", err)
	}
	limited := &io.LimitedReader{R: z, N: devkitBytes}
	t := tar.NewReader(limited)
	for {
		h, err := t.Next()
		switch {
		case limited.N == 0:
			return nil, fmt.Errorf("unpacks to more than the %d bytes allowed", devkitBytes)
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("has no %s", truthFile)
		case err != nil:
			return nil, err
		}
		if h.Typeflag == tar.TypeReg && filepath.Base(h.Name) == truthFile {
			return readAtMost(t, maxLabelBytes)
		}
	}
}

func newGroundTruth(path string, text []byte) (groundTruth, error) {
	ids, err := parseTruth(text)
	if err != nil {
		return groundTruth{}, fmt.Errorf("%w: %s: %w", ErrBadData, path, err)
	}
	return groundTruth{path, ids}, nil
}

// parseTruth reads one class number a line.
func parseTruth(text []byte) ([]int, error) {
	var ids []int
	for line := range bytes.Lines(text) {
		id, err := strconv.Atoi(string(bytes.TrimRight(line, "\r\n")))
		if err != nil || id < 1 || id > len(imageNet()) {
			return nil, fmt.Errorf("line %d is %.20q, want a class number from 1 to %d", len(ids)+1, line, len(imageNet()))
		}
		ids = append(ids, id)
	}
	return ids, nil
}

var validationName = regexp.MustCompile(`^ILSVRC2012_val_([0-9]{8})\.JPEG$`)

// label is the label of the validation image of that name, labels being those of the wnids.
func (g groundTruth) label(name string, labels map[string]int32) (int32, error) {
	m := validationName.FindStringSubmatch(name)
	if m == nil {
		return 0, errors.New("is not named as ILSVRC2012's validation images are, so its class is unknown: sort the images into class folders")
	}
	n, _ := strconv.Atoi(m[1]) // eight digits
	if n < 1 || n > len(g.ids) {
		return 0, fmt.Errorf("%s tells the classes of images 1 to %d only", g.path, len(g.ids))
	}
	wnid := wnidOfDevkit()[g.ids[n-1]]
	label, ok := labels[wnid]
	if !ok {
		return 0, fmt.Errorf("shows class %s by %s, which is not among the %d classes of the data set", wnid, g.path, len(labels))
	}
	return label, nil
}
