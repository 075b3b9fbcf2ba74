package data

import (
	"bytes"
	_ "embed" // the classes of ImageNet
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// imageNetText has a line "wnid devkit-id name" for each class of ILSVRC2012, in the order of the sorted wnids: line i
// is class i. The devkit numbers the classes from 1 in another order.
//
//go:embed imagenet_classes.txt
var imageNetText string

// imageNetClass is a class of ILSVRC2012.
type imageNetClass struct {
	wnid, name string
	devkit     int // 1 to 1000
}

// imageNet lists the 1000 classes by label.
var imageNet = sync.OnceValue(func() []imageNetClass {
	var all []imageNetClass
	for line := range strings.Lines(imageNetText) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		id, _ := strconv.Atoi(f[1]) // a test reads the whole table
		all = append(all, imageNetClass{wnid: f[0], devkit: id, name: f[2]})
	}
	return all
})

// wnidOfDevkit maps the devkit's class numbers to wnids.
var wnidOfDevkit = sync.OnceValue(func() map[int]string {
	m := make(map[int]string, len(imageNet()))
	for _, c := range imageNet() {
		m[c.devkit] = c.wnid
	}
	return m
})

// className is how people are shown the class of a folder: "n01440764 tench" where ImageNet has it.
func className(id string) string {
	i, ok := slices.BinarySearchFunc(imageNet(), id, func(c imageNetClass, id string) int { return strings.Compare(c.wnid, id) })
	if !ok {
		return id
	}
	return id + " " + imageNet()[i].name
}

// numberedClasses names n classes of which only the labels are known: 1000 are taken for ImageNet's, in the order of
// the sorted wnids, which is every library's.
func numberedClasses(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
		if n == len(imageNet()) {
			ids[i] = imageNet()[i].wnid
		}
	}
	return ids
}

// ClassesFile is the file in a data set's folder that lists its classes, one a line, in the order of their labels.
const ClassesFile = "classes.txt"

// Limits on what files about a data set may say.
const (
	maxClasses    = 100_000
	maxTextBytes  = 1 << 30 // of a list file: 13 million lines of 80 bytes
	maxLabelBytes = 4 << 20 // of a file of classes or of the validation labels
)

// readClasses reads dir's ClassesFile; without one it returns nil.
func readClasses(dir string) ([]string, error) {
	path := filepath.Join(dir, ClassesFile)
	text, err := readText(path, maxLabelBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := parseClasses(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadData, path, err)
	}
	return ids, nil
}

func parseClasses(text []byte) ([]string, error) {
	var ids []string
	seen := map[string]int{}
	for line := range bytes.Lines(text) {
		id := string(bytes.TrimRight(line, "\r\n"))
		n := len(ids) + 1
		switch {
		case id == "" || strings.TrimSpace(id) != id || !isPrintable(id):
			return nil, fmt.Errorf("line %d is %.60q, want the name of a class", n, id)
		case seen[id] > 0:
			return nil, fmt.Errorf("line %d repeats class %q of line %d", n, id, seen[id])
		case n > maxClasses:
			return nil, fmt.Errorf("more than %d classes", maxClasses)
		}
		seen[id] = n
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, errors.New("has no classes")
	}
	return ids, nil
}

// readText reads a file of at most limit bytes.
func readText(path string, limit int64) (text []byte, err error) {
	f, err := openRegular(path, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadData, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if text, err = readAtMost(f, limit); err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrBadData, path, err)
	}
	return text, nil
}

// labelsOf maps ids to labels.
func labelsOf(ids []string) map[string]int32 {
	m := make(map[string]int32, len(ids))
	for i, id := range ids {
		m[id] = int32(i)
	}
	return m
}

// checkClassFolders refuses folders named by numbers: as text 10 comes before 2, and nobody can tell whether the numbers
// are labels, start at 1, or are those of the devkit.
func checkClassFolders(where string, ids []string) error {
	isNumber := func(id string) bool { return strings.Trim(id, "0123456789") == "" }
	if len(ids) > 0 && !slices.ContainsFunc(ids, func(id string) bool { return !isNumber(id) }) {
		return fmt.Errorf("%w: %s: its class folders are numbers (%s, ...), which do not tell the order of the labels: list the folders in %s beside the splits, one a line, in the order of their labels",
			ErrBadData, where, ids[0], ClassesFile)
	}
	return nil
}
