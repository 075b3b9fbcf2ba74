package train

import (
	"fmt"

	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/data/augment"
)

// LoaderOptions are the settings of a config by which training images become batches. An error wraps config.ErrConfig.
func LoaderOptions(cfg config.Config) (data.LoaderOptions, error) {
	a := cfg.Data.Augment
	pixels, err := pixelChanges(cfg.Data)
	if err != nil {
		return data.LoaderOptions{}, fmt.Errorf("%w: data.%w", config.ErrConfig, err)
	}
	return data.LoaderOptions{
		BatchSize: cfg.Train.BatchSize, Workers: cfg.Data.Workers, Seed: cfg.Train.Seed, Train: true, Repeats: a.Repeats,
		Augment: data.Augment{Pad: a.CropPad, Flip: a.Flip, MinScale: a.MinScale, Pixels: pixels},
	}, nil
}

// pixelChanges makes the augmentations of cropped images, one pipeline for each worker; nil where there are none.
func pixelChanges(d config.Data) (func() data.PixelChange, error) {
	a := d.Augment
	o := augment.Options{
		RandAugment: augment.RandAugment(a.RandAugment), TrivialAugment: a.TrivialAugment,
		ColorJitter: augment.ColorJitter(a.ColorJitter), RandomErasing: augment.Erasing(a.RandomErasing),
	}
	if o.RandAugment.Ops == 0 && !o.TrivialAugment && o.ColorJitter == (augment.ColorJitter{}) && o.RandomErasing.Probability == 0 {
		return nil, nil
	}
	o.Mean, o.Std = d.Mean, d.Std
	pipeline, err := augment.New(o)
	if err != nil {
		return nil, err
	}
	return func() data.PixelChange { return pipeline.Clone().Apply }, nil
}
