package config

// rule ties two keys together.
type rule struct {
	key, other string
	want       string // of key, in words
	holds      func(Config) bool
}

var rules = []rule{
	{
		"model.se.hidden_channels", "model.se.reduction", "at least one of the two above 0",
		func(c Config) bool { return c.Model.SE.HiddenChannels > 0 || c.Model.SE.Reduction > 0 },
	},
	{
		"data.mean", "model.in_channels", "one entry per input channel",
		func(c Config) bool { return len(c.Data.Mean) == c.Model.InChannels },
	},
	{
		"data.std", "model.in_channels", "one entry per input channel",
		func(c Config) bool { return len(c.Data.Std) == c.Model.InChannels },
	},
	{
		"data.augment.crop_pad", "data.image_size", "less than the image's size", // else a crop can be all padding
		func(c Config) bool { return c.Data.Augment.CropPad < c.Data.ImageSize },
	},
	{
		"data.augment.crop_pad", "data.source", "0 for image files",
		func(c Config) bool { return c.Data.Augment.CropPad == 0 || c.Data.Source == "fashion-mnist" },
	},
	{
		"train.min_lr", "train.lr", "at most the peak",
		func(c Config) bool { return c.Train.MinLR <= c.Train.LR },
	},
	{
		"train.warmup_epochs", "train.epochs", "at most all epochs",
		func(c Config) bool { return c.Train.WarmupEpochs <= float64(c.Train.Epochs) },
	},
	{
		"train.warmup_epochs", "train.schedule", "epochs to rise in",
		func(c Config) bool { return c.Train.Schedule != "one-cycle" || c.Train.WarmupEpochs > 0 },
	},
	{
		"train.nesterov", "train.momentum", "momentum above 0 to look ahead with",
		func(c Config) bool { return !c.Train.Nesterov || c.Train.Momentum > 0 },
	},
	{
		"train.resize.to", "train.resize.from", "at least from, 0 without it",
		func(c Config) bool {
			z := c.Train.Resize
			return z.To == 0 || z.From > 0 && z.From <= z.To
		},
	},
	{
		"train.resize.from", "data.image_size", "at most that, unless train.resize.to is given",
		func(c Config) bool { return c.Train.Resize.To > 0 || c.Train.Resize.From <= c.Data.ImageSize },
	},
	{
		"train.resize.end_epoch", "train.resize.start_epoch", "no earlier end than start",
		func(c Config) bool { return c.Train.Resize.EndEpoch >= c.Train.Resize.StartEpoch },
	},
	{
		"train.batch_warmup.from", "train.accumulate", "at most that",
		func(c Config) bool { return c.Train.BatchWarmup.From <= c.Train.Accumulate },
	},
}

// check applies the rules whose keys have sound values.
func (r *reader) check(cfg Config) {
	for _, rule := range rules {
		if r.wrong[rule.key] || r.wrong[rule.other] || rule.holds(cfg) {
			continue
		}
		where := r.name
		for _, path := range []string{rule.other, rule.key} { // the key's own line is the better one
			if r.origin[path] != "" {
				where = r.origin[path]
			}
		}
		r.fail(where, "%s: want %s, have %v with %s %v", rule.key, rule.want, cfg.value(rule.key), rule.other, cfg.value(rule.other))
	}
}
