package data

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// fashionSide is the height and width of Fashion-MNIST's images in pixels.
const fashionSide = 28

var fashionClasses = []string{
	"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
}

// fashionMNIST is one split, whole in memory.
type fashionMNIST struct {
	dir    string
	pixels []uint8 // (N, H, W)
	labels []uint8 // (N)
}

// OpenFashionMNIST reads one split of Fashion-MNIST (Xiao et al. 2017), 28x28 grey images in 10 classes,
// from the gzipped IDX files in dir. Errors wrap ErrBadData.
func OpenFashionMNIST(dir string, split Split) (Source, error) {
	prefix := "train"
	if split == Test {
		prefix = "t10k"
	}
	imageFile := filepath.Join(dir, prefix+"-images-idx3-ubyte.gz")
	labelFile := filepath.Join(dir, prefix+"-labels-idx1-ubyte.gz")
	images, err := readIDX(imageFile, 0, fashionSide, fashionSide)
	if err != nil {
		return nil, fashionHint(err)
	}
	labels, err := readIDX(labelFile, 0)
	if err != nil {
		return nil, fashionHint(err)
	}
	if images.dims[0] != labels.dims[0] {
		return nil, fmt.Errorf("%w: %s has %d images but %s has %d labels", ErrBadData, imageFile, images.dims[0], labelFile, labels.dims[0])
	}
	for i, label := range labels.bytes {
		if int(label) >= len(fashionClasses) {
			return nil, fmt.Errorf("%w: %s: label %d is %d, want 0 to %d", ErrBadData, labelFile, i, label, len(fashionClasses)-1)
		}
	}
	return &fashionMNIST{dir: dir, pixels: images.bytes, labels: labels.bytes}, nil
}

// fashionHint tells how to get a missing file.
func fashionHint(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w (`apt-get install dataset-fashion-mnist` puts Fashion-MNIST into /usr/share/datasets/fashion-mnist; data.dir says where it is)", err)
}

func (s *fashionMNIST) Len() int             { return len(s.labels) }
func (s *fashionMNIST) Shape() (h, w, c int) { return fashionSide, fashionSide, 1 }
func (s *fashionMNIST) Classes() []string    { return fashionClasses }

func (s *fashionMNIST) Read(i int, pixels []uint8) (int32, error) {
	const size = fashionSide * fashionSide
	if i < 0 || i >= len(s.labels) || len(pixels) != size {
		return 0, fmt.Errorf("read %s: image %d of %d to %d bytes, want %d", s.dir, i, len(s.labels), len(pixels), size)
	}
	copy(pixels, s.pixels[i*size:])
	return int32(s.labels[i]), nil
}
