package data

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// imageExtensions are what image files end in, in lower case. What a file holds is told by its content.
var imageExtensions = []string{".jpeg", ".jpg", ".png", ".gif", ".webp"}

func isImageName(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains(imageExtensions, strings.ToLower(filepath.Ext(name)))
}

// folder is one split of images in folders.
type folder struct {
	classes []string // names of the class folders, sorted
	loose   []string // names of images beside or without class folders, sorted
}

// readFolder lists the class folders of the split in dir/root.
func readFolder(dir, root string) (folder, error) {
	where := join(dir, root)
	entries, err := os.ReadDir(where)
	if err != nil {
		return folder{}, fmt.Errorf("%w: %w", ErrBadData, err)
	}
	var f folder
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(where, e.Name())) // a class may be a link to its folder
		if err != nil {
			return folder{}, fmt.Errorf("%w: %w", ErrBadData, err)
		}
		switch {
		case info.IsDir():
			f.classes = append(f.classes, e.Name())
		case isImageName(e.Name()):
			f.loose = append(f.loose, e.Name())
		}
	}
	if len(f.classes) > 0 && len(f.loose) > 0 {
		return folder{}, fmt.Errorf("%w: %s: image %s lies beside the class folders, so its class is unknown", ErrBadData, where, f.loose[0])
	}
	for _, name := range f.classes {
		if !isPrintable(name) {
			return folder{}, fmt.Errorf("%w: %s: class folder %q has a name that cannot be shown", ErrBadData, where, name)
		}
	}
	return f, nil
}

// scanFolder indexes a split of images in class folders, or, for testing, of ILSVRC2012's images in one folder.
func scanFolder(s Set, split Split, origin, root string) (*Index, error) {
	f, err := readFolder(s.Dir, root)
	if err != nil {
		return nil, err
	}
	ids, err := s.folderClasses(split, f)
	if err != nil {
		return nil, err
	}
	if len(f.classes) == 0 && len(f.loose) > 0 {
		return scanFlat(s, split, origin, root, ids, f.loose)
	}
	if err := checkKnown(join(s.Dir, root), f.classes, ids); err != nil {
		return nil, err
	}
	w, err := s.newWalk(split, root)
	if err != nil {
		return nil, err
	}
	labels := labelsOf(ids)
	for _, class := range f.classes {
		before := len(w.samples)
		if err := w.class(filepath.Join(root, class), labels[class]); err != nil {
			return nil, err
		}
		if len(w.samples) == before && split == Train {
			return nil, fmt.Errorf("%w: %s: has no images", ErrBadData, join(s.Dir, filepath.Join(root, class)))
		}
	}
	return newIndex(s.Dir, origin, ids, w.containers, w.samples)
}

// folderClasses are the classes of the list beside the splits, else those of the training folders: a split for testing need
// not have images of each. Without either they are the split's own.
func (s Set) folderClasses(split Split, f folder) ([]string, error) {
	if ids, err := readClasses(s.Dir); err != nil || ids != nil {
		return ids, err
	}
	ids := f.classes
	if split != Train {
		if root, err := s.part(Train); err == nil {
			train, err := readFolder(s.Dir, root)
			if err != nil {
				return nil, err
			}
			ids = train.classes
		}
	}
	if len(ids) == 0 { // images in one folder, and no training folders: ImageNet's
		return numberedClasses(len(imageNet())), nil
	}
	return ids, checkClassFolders(s.Dir, ids)
}

// checkKnown refuses folders that are none of the classes.
func checkKnown(where string, folders, ids []string) error {
	known := labelsOf(ids)
	var strange []string
	for _, name := range folders {
		if _, ok := known[name]; !ok {
			strange = append(strange, name)
		}
	}
	if len(strange) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %d of %d class folders are not among the %d classes of the training folders or of %s, the first is %s: make them the same",
		ErrBadData, where, len(strange), len(folders), len(ids), ClassesFile, strange[0])
}

// scanFlat indexes ILSVRC2012's validation images in one folder by the devkit's list of their classes.
func scanFlat(s Set, split Split, origin, root string, ids, names []string) (*Index, error) {
	truth, err := s.groundTruth(join(s.Dir, root))
	if err != nil {
		return nil, err
	}
	w, err := s.newWalk(split, root)
	if err != nil {
		return nil, err
	}
	labels := labelsOf(ids)
	for _, name := range names {
		label, err := truth.label(name, labels)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrBadData, filepath.Join(s.Dir, root, name), err)
		}
		w.samples = append(w.samples, sample{name: filepath.Join(root, name), in: -1, label: label})
	}
	return newIndex(s.Dir, origin, ids, w.containers, w.samples)
}

// folderWalk gathers images below class folders, and the folders on the way.
type folderWalk struct {
	dir        string
	containers []container
	samples    []sample
}

// newWalk notes the folders that tell the classes.
func (s Set) newWalk(split Split, root string) (*folderWalk, error) {
	w := &folderWalk{dir: s.Dir}
	if err := w.note(root); err != nil || split == Train {
		return w, err
	}
	if train, err := s.part(Train); err == nil {
		return w, w.note(train)
	}
	return w, nil
}

// note records a folder.
func (w *folderWalk) note(path string) error {
	c, err := containerAt(w.dir, path)
	w.containers = append(w.containers, c)
	return err
}

// class lists the images at any depth of a class folder, in the order of their paths.
func (w *folderWalk) class(root string, label int32) error {
	base := join(w.dir, root)
	err := filepath.WalkDir(base+string(filepath.Separator), func(path string, e fs.DirEntry, err error) error { // the separator follows a link
		if err != nil {
			return err
		}
		within, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		name := filepath.Join(root, within)
		switch {
		case e.IsDir():
			return w.note(name)
		case !isImageName(e.Name()):
			return nil
		case !isPrintable(e.Name()):
			return fmt.Errorf("%q has a name that cannot be shown", path)
		}
		w.samples = append(w.samples, sample{name: name, in: -1, label: label})
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: class folder %s: %w", ErrBadData, base, err)
	}
	return nil
}
