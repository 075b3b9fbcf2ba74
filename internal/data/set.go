package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// The sources of image files, see [Set].
const (
	ImageFolder = "imagefolder"
	ImageNetTar = "imagenet-tar"
	WebDataset  = "webdataset"
	List        = "list"
)

// Auto, as a split of a [Set], stands for the name that the split usually has.
const Auto = "auto"

// Set is a data set of image files:
//
//	ImageFolder  train/CLASS/*.JPEG and val likewise, or val flat with the devkit's list of its classes
//	ImageNetTar  the tars of ILSVRC2012 as they are downloaded, which are not unpacked
//	WebDataset   tars with key.jpg and key.cls
//	List         text files with lines "path label"
//
// The label of a class is its rank among the sorted names of the folders, for ImageNet the wnids, unless ClassesFile says otherwise.
type Set struct {
	Source     string
	Dir        string
	Train, Val string // folder, tar, pattern of shards or list, from Dir on; or Auto
	IndexDir   string // where saved indexes lie, or Auto for Dir
	Classes    int    // labels that a source which numbers its classes may have
}

// usual are the names of the splits, the first that is there is taken. Those of WebDataset are patterns.
var usual = map[string][2][]string{
	ImageFolder: {{"train", "training"}, {"val", "validation", "valid", "test"}},
	ImageNetTar: {{"ILSVRC2012_img_train.tar"}, {"ILSVRC2012_img_val.tar"}},
	WebDataset:  {{"train-*.tar"}, {"val-*.tar"}},
	List:        {{"train.txt"}, {"val.txt"}},
}

// part is the name of a split within Dir.
func (s Set) part(split Split) (string, error) {
	name, i := s.Train, 0
	if split != Train {
		name, i = s.Val, 1
	}
	if name != Auto {
		return name, nil
	}
	names, ok := usual[s.Source]
	if !ok {
		return "", fmt.Errorf("data source %q is not one of image files", s.Source)
	}
	if s.Source == WebDataset {
		return names[i][0], nil
	}
	for _, name := range names[i] {
		if _, err := os.Stat(join(s.Dir, name)); err == nil {
			return name, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%w: %w", ErrBadData, err)
		}
	}
	return "", fmt.Errorf("%w: %s: has no %s (data.dir says where the data set is, data.train and data.val how its splits are named)", ErrBadData, s.Dir, names[i][0])
}

// IndexFile is where the index of a split is saved.
func (s Set) IndexFile(split Split) string {
	dir := s.IndexDir
	if dir == Auto {
		dir = s.Dir
	}
	name := "train"
	if split != Train {
		name = "val"
	}
	return filepath.Join(dir, name+".senet-index")
}

// Open returns the index of a split: the saved one if there is one, else a new one of [Set.Scan]. A saved one that is damaged
// or that the data no longer fits is an error. Errors about files wrap ErrBadData.
func (s Set) Open(split Split) (*Index, error) {
	path := s.IndexFile(split)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return s.Scan(split)
	}
	root, err := s.part(split)
	if err != nil {
		return nil, err
	}
	ix, err := loadIndex(path, s.Dir, s.origin(root))
	if err != nil {
		return nil, fmt.Errorf("%w: index %s: %w: make it anew with `senet data index`, or delete it", ErrBadData, path, err)
	}
	if err := s.checkClasses(ix); err != nil {
		return nil, fmt.Errorf("%w: index %s: %w: make it anew with `senet data index`, or delete it", ErrBadData, path, err)
	}
	return ix, nil
}

// Scan reads the names of all images of a split, and of tars the headers.
func (s Set) Scan(split Split) (*Index, error) {
	root, err := s.part(split)
	if err != nil {
		return nil, err
	}
	origin := s.origin(root)
	switch s.Source {
	case ImageFolder:
		return scanFolder(s, split, origin, root)
	case WebDataset:
		return scanWebDataset(s, origin, root)
	case List:
		return scanList(s, origin, root)
	}
	if split == Train {
		return scanTrainTar(s, origin, root)
	}
	return scanValTar(s, origin, root)
}

func (s Set) origin(root string) string { return s.Source + " " + root }

// numberedClasses are the classes of a source that only numbers them, named by ClassesFile if it is there.
func (s Set) numberedClasses() ([]string, error) {
	ids, err := readClasses(s.Dir)
	if err != nil {
		return nil, err
	}
	if ids == nil {
		return numberedClasses(s.Classes), nil
	}
	return ids, nil
}

// checkClasses compares an index with the list of classes beside the splits, which may have changed since.
func (s Set) checkClasses(ix *Index) error {
	ids, err := readClasses(s.Dir)
	if err != nil || ids == nil {
		return err
	}
	if !slices.Equal(ids, ix.ids) {
		return fmt.Errorf("its classes are not those of %s", ClassesFile)
	}
	return nil
}
