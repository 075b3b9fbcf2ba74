package cli

import (
	"fmt"
	"slices"

	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/train"
)

// fashionMNIST is the one data.source that is not of image files.
const fashionMNIST = "fashion-mnist"

// imageSet is the data set of image files that the config names.
func imageSet(cfg config.Config) data.Set {
	return data.Set{
		Source: cfg.Data.Source, Dir: cfg.Data.Dir, Train: cfg.Data.Train, Val: cfg.Data.Val,
		IndexDir: cfg.Data.IndexDir, Classes: cfg.Model.Classes,
	}
}

// openSource opens a split of the data set that the config names.
func openSource(cfg config.Config, split data.Split) (data.Source, error) {
	src, err := openImages(cfg, split)
	if err != nil {
		return nil, err
	}
	h, w, c := src.Shape()
	if h != cfg.Data.ImageSize || w != cfg.Data.ImageSize || c != cfg.Model.InChannels || len(src.Classes()) != cfg.Model.Classes {
		return nil, fmt.Errorf("%w: data.source %s has %dx%d images of %d channels in %d classes, but the config says data.image_size %d, model.in_channels %d, model.classes %d",
			config.ErrConfig, cfg.Data.Source, h, w, c, len(src.Classes()), cfg.Data.ImageSize, cfg.Model.InChannels, cfg.Model.Classes)
	}
	return src, nil
}

// trainingImages opens the training images that the config names, and says how they become batches.
func trainingImages(o ConfigOptions) (config.Config, data.Source, data.LoaderOptions, error) {
	cfg, err := o.load()
	if err != nil {
		return cfg, nil, data.LoaderOptions{}, err
	}
	src, err := openSource(cfg, data.Train)
	if err != nil {
		return cfg, nil, data.LoaderOptions{}, err
	}
	options, err := train.LoaderOptions(cfg)
	return cfg, src, options, err
}

func openImages(cfg config.Config, split data.Split) (data.Source, error) {
	if cfg.Data.Source == fashionMNIST {
		return data.OpenFashionMNIST(cfg.Data.Dir, split)
	}
	ix, err := imageSet(cfg).Open(split)
	if err != nil {
		return nil, err
	}
	src, err := data.NewPictures(ix, data.View{
		H: cfg.Data.ImageSize, W: cfg.Data.ImageSize, C: cfg.Model.InChannels,
		CropFraction: cfg.Data.CropFraction, Bilinear: cfg.Data.Interpolation == "bilinear",
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrConfig, err)
	}
	return src, nil
}

// openSources opens both splits and checks that a label means the same in them.
func openSources(cfg config.Config) (train, val data.Source, err error) {
	if train, err = openSource(cfg, data.Train); err != nil {
		return nil, nil, err
	}
	if val, err = openSource(cfg, data.Test); err != nil {
		return nil, nil, err
	}
	if err := sameClasses(train.Classes(), val.Classes()); err != nil {
		return nil, nil, fmt.Errorf("%w: %s: training and validation images: %w", data.ErrBadData, cfg.Data.Dir, err)
	}
	return train, val, nil
}

// sameClasses names the first label that stands for two classes.
func sameClasses(a, b []string) error {
	if slices.Equal(a, b) {
		return nil
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Errorf("label %d is class %q in the one and %q in the other", i, a[i], b[i])
		}
	}
	return fmt.Errorf("have %d and %d classes", len(a), len(b))
}

// checkClasses refuses images whose labels are not those that the checkpoint was trained on.
func (t trained) checkClasses(classes []string) error {
	if t.classes == nil {
		return nil
	}
	if err := sameClasses(t.classes, classes); err != nil {
		return fmt.Errorf("%w: %s: the classes of the checkpoint and of the images: %w: list those of the checkpoint in %s/%s, in that order",
			data.ErrBadData, t.path, err, t.config.Data.Dir, data.ClassesFile)
	}
	return nil
}

// Below so many percent, at so many classes, it is rather the labels that are wrong than the network: guessing gives 1 %.
const (
	suspiciousTop1    = 1
	suspiciousClasses = 100
)

// warnOfLabels tells what to look at when a network knows nothing.
func warnOfLabels(d *deps, top1 float64, classes int) {
	if top1 < suspiciousTop1 && classes >= suspiciousClasses {
		fmt.Fprintf(d.Err, "top-1 is below %d %%: if the network is trained, the labels are probably not those that it learned, or the pixels not what it saw. Check the order of the classes (senet data stats), data.mean, data.std and data.image_size\n", suspiciousTop1)
	}
}
