package data

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// tarFile is an open tar.
type tarFile struct {
	*os.File
	container
}

func openTar(dir, name string) (tarFile, error) {
	c, err := containerAt(dir, name)
	if err != nil {
		return tarFile{}, err
	}
	f, err := openRegular(join(dir, name), 1<<62)
	if err != nil {
		return tarFile{}, fmt.Errorf("%w: %w", ErrBadData, err)
	}
	return tarFile{f, c}, nil
}

// innerTar is a tar within a tar: the images of one class.
type innerTar struct {
	class        string
	offset, size int64
}

// classTars lists the tars in ILSVRC2012's training tar, by class.
func (t tarFile) classTars() ([]innerTar, error) {
	var all []innerTar
	err := scanTar(t, t.size, func(name string, offset, size int64) error {
		class, ok := strings.CutSuffix(path.Base(name), ".tar")
		if !ok {
			return errors.New("want a tar for each class")
		}
		all = append(all, innerTar{class, offset, size})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadData, t.Name(), err)
	}
	slices.SortFunc(all, func(a, b innerTar) int { return strings.Compare(a.class, b.class) })
	for i, c := range all[:max(len(all)-1, 0)] {
		if c.class == all[i+1].class {
			return nil, fmt.Errorf("%w: %s: has class %s twice", ErrBadData, t.Name(), c.class)
		}
	}
	return all, nil
}

// scanTrainTar indexes ILSVRC2012's training tar, a tar of one tar of images for each class.
func scanTrainTar(s Set, origin, name string) (_ *Index, err error) {
	t, err := openTar(s.Dir, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	inner, err := t.classTars()
	if err != nil {
		return nil, err
	}
	var ids []string
	var samples []sample
	for label, c := range inner {
		ids = append(ids, c.class)
		before := len(samples)
		err := scanTar(io.NewSectionReader(t, c.offset, c.size), c.size, func(name string, offset, size int64) error {
			if err := checkImageSize(size); err != nil {
				return err
			}
			samples = append(samples, sample{name: c.class + ".tar:" + name, label: int32(label), offset: c.offset + offset, size: size})
			return nil
		})
		if err == nil && len(samples) == before {
			err = errors.New("has no images")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %s.tar: %w", ErrBadData, t.Name(), c.class, err)
		}
	}
	return newIndex(s.Dir, origin, ids, []container{t.container}, samples)
}

// scanValTar indexes ILSVRC2012's validation tar, which has no folders: the devkit tells the classes.
func scanValTar(s Set, origin, name string) (_ *Index, err error) {
	truth, err := s.groundTruth(join(s.Dir, name))
	if err != nil {
		return nil, err
	}
	ids, err := s.tarClasses()
	if err != nil {
		return nil, err
	}
	t, err := openTar(s.Dir, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	labels := labelsOf(ids)
	var samples []sample
	err = scanTar(t, t.size, func(name string, offset, size int64) error {
		if err := checkImageSize(size); err != nil {
			return err
		}
		label, err := truth.label(path.Base(name), labels)
		samples = append(samples, sample{name: name, label: label, offset: offset, size: size})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadData, t.Name(), err)
	}
	return newIndex(s.Dir, origin, ids, []container{t.container}, samples)
}

// tarClasses are the classes of the training tar, or all of ImageNet's where only the validation tar is there.
func (s Set) tarClasses() (_ []string, err error) {
	name, err := s.part(Train)
	if err != nil {
		return numberedClasses(len(imageNet())), nil
	}
	t, err := openTar(s.Dir, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	inner, err := t.classTars()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range inner {
		ids = append(ids, c.class)
	}
	return ids, nil
}

func checkImageSize(size int64) error {
	if size > maxImageBytes {
		return fmt.Errorf("has %d bytes, more than the %d allowed", size, maxImageBytes)
	}
	return nil
}
