package train

import (
	"senet/internal/config"
	"senet/internal/graph"
	"senet/internal/model"
)

// trainedOptions are ModelOptions with the loss that is trained for.
func trainedOptions(cfg config.Config) model.Options {
	o := ModelOptions(cfg, cfg.Train.BatchSize)
	o.LabelSmoothing = float32(cfg.Train.LabelSmoothing)
	o.MixedLabels = mixes(cfg)
	if cfg.Train.Loss == "binary" {
		o.BinaryLoss = &model.BinaryLoss{Threshold: float32(cfg.Train.BinaryThreshold), SumClasses: cfg.Train.BinarySum}
	}
	return o
}

// programOptions are the settings of a config by which a network is trained as s shares it.
func programOptions(c config.Train, s share) graph.TrainingOptions {
	o := graph.TrainingOptions{
		ClipNorm: float32(c.ClipNorm), Accumulate: s.accumulate > 1, EMADecay: c.EMADecay,
		Ranks: s.ranks, HalfWire: c.GradientWire == "bf16", SyncBN: c.SyncBN,
	}
	decay := float32(c.WeightDecay)
	switch c.Optimizer { // betas and epsilons are the defaults of torch.optim.AdamW and timm.optim.Lamb
	case "adamw":
		o.Adam = &graph.AdamOptions{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: decay}
	case "lamb":
		o.Adam = &graph.AdamOptions{LAMB: true, Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, WeightDecay: decay}
	default:
		o.SGD = graph.SGDOptions{Momentum: float32(c.Momentum), WeightDecay: decay, Nesterov: c.Nesterov}
	}
	return o
}

// ModelOptions are the network's settings that a config gives, for batches of the given size.
// What is trained for is left out: an evaluation has plain cross entropy.
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
