package train

import (
	"senet/internal/config"
	"senet/internal/model"
)

// ModelOptions are the network's settings that a config gives, for batches of the given size.
// Label smoothing is left out: it belongs to training's loss alone.
func ModelOptions(cfg config.Config, batch int) model.Options {
	return model.Options{
		Batch: batch, Height: cfg.Data.ImageSize, Width: cfg.Data.ImageSize, Channels: cfg.Model.InChannels,
		Mean: float32s(cfg.Data.Mean), Std: float32s(cfg.Data.Std),
		Classes: cfg.Model.Classes, ZeroInitResidual: cfg.Model.ZeroInitResidual,
		V1Stride: cfg.Model.V1Stride, Dropout: float32(cfg.Model.Dropout),
		SE: model.SE{
			Reduction: cfg.Model.SE.Reduction, Hidden: cfg.Model.SE.HiddenChannels, Divisor: cfg.Model.SE.Divisor,
			Stages: cfg.Model.SE.Stages, Placement: model.Placement(cfg.Model.SE.Placement),
			Squeeze: model.Squeeze(cfg.Model.SE.Squeeze), Gate: model.Gate(cfg.Model.SE.Gate), NoBias: !cfg.Model.SE.Bias,
		},
	}
}

func float32s(xs []float64) []float32 {
	out := make([]float32, len(xs))
	for i, x := range xs {
		out[i] = float32(x)
	}
	return out
}
