package train

import (
	"fmt"
	"math"

	"senet/internal/config"
)

// imageSize is the height and width of training images in an epoch, counted from 0. It grows as get_resolution of ffcv's
// train_imagenet.py says.
func imageSize(cfg config.Config, epoch int) int {
	z := cfg.Train.Resize
	to := z.To
	if to == 0 {
		to = cfg.Data.ImageSize
	}
	switch {
	case z.From == 0 || epoch >= z.EndEpoch && epoch > z.StartEpoch:
		return to
	case epoch <= z.StartEpoch:
		return z.From
	}
	done := float64(epoch-z.StartEpoch) / float64(z.EndEpoch-z.StartEpoch)
	size := float64(z.From) + done*float64(to-z.From)
	rounded := z.Multiple * int(math.RoundToEven(size/float64(z.Multiple)))
	return min(max(rounded, z.From), to)
}

// greatestSize is that of all epochs. It fails if the network does not take one of their sizes.
func (r *run) greatestSize() (int, error) {
	greatest := 0
	for epoch := range r.Config.Train.Epochs {
		size := imageSize(r.Config, epoch)
		if size <= greatest { // they only grow
			continue
		}
		greatest, r.size = size, size
		if _, err := r.network(1); err != nil {
			return 0, fmt.Errorf("training images of %d pixels: %w", size, err)
		}
	}
	return greatest, nil
}

// resize compiles the network anew if the epoch has images of another size. All that training goes on from is carried over, to
// the bit.
func (r *run) resize() error {
	size := imageSize(r.Config, r.where.epoch)
	if size == r.size {
		return nil
	}
	state, err := r.net.Get(r.net.Program.Persistent())
	if err != nil {
		return err
	}
	net := r.net
	r.net = nil
	if err := net.Close(); err != nil { // first: there may be no memory for two
		return err
	}
	r.size, r.loader = size, r.loader.Sized(size)
	if err := r.compile(); err != nil {
		return fmt.Errorf("training images of %d pixels: %w", size, err)
	}
	return r.net.Set(r.net.Program.Persistent(), state)
}
