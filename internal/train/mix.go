package train

import (
	"fmt"

	"gorgonia.org/tensor"

	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/data/augment"
)

// mixes reports whether training images are mixed.
func mixes(cfg config.Config) bool {
	m := cfg.Data.Augment.Mix
	return m.Probability > 0 && (m.MixupAlpha > 0 || m.CutmixAlpha > 0)
}

// mixer mixes the images of batches and writes the labels of what was mixed in, as a function of seed, epoch and batch.
type mixer struct {
	*augment.Mixer
	seed   uint64
	others *tensor.Dense // (B) int32, labels
	shares *tensor.Dense // (B) float32, of each image's own label
}

// newMixer is for batches of so many rows; nil where the config mixes nothing. An error wraps config.ErrConfig.
func newMixer(cfg config.Config, rows int) (*mixer, error) {
	if !mixes(cfg) {
		return nil, nil
	}
	m, err := augment.NewMixer(augment.MixOptions(cfg.Data.Augment.Mix))
	if err != nil {
		return nil, fmt.Errorf("%w: data.augment.%w", config.ErrConfig, err)
	}
	return &mixer{
		Mixer: m, seed: cfg.Train.Seed,
		others: tensor.New(tensor.WithShape(rows), tensor.Of(tensor.Int32)),
		shares: tensor.New(tensor.WithShape(rows), tensor.Of(tensor.Float32)),
	}, nil
}

// mix changes the images of b, batch number batch of the epoch, and writes the labels and shares to net.
func (m *mixer) mix(net *Compiled, b *data.Batch, epoch, batch int) error {
	s := b.Images.Shape() // (N, H, W, C)
	mixing := m.Draw(data.BatchRandom(m.seed, epoch, batch), s[1], s[2])
	mixing.Images(b.Images.Data().([]uint8), s[0], s[1], s[2], s[3])
	mixing.Labels(b.Labels.Data().([]int32), m.others.Data().([]int32), m.shares.Data().([]float32))
	if err := net.Write(net.Program.MixedLabels, m.others); err != nil {
		return err
	}
	return net.Write(net.Program.Share, m.shares)
}
