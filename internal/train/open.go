package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"gorgonia.org/tensor"

	"senet/internal/data"
	"senet/internal/graph"
	"senet/internal/model"
	"senet/internal/report"
)

// open compiles the networks, opens the loaders and the run's folder, and puts the run where it starts.
func open(ctx context.Context, s Setup) (_ *run, err error) {
	cfg := s.Config
	r := &run{Setup: s, rate: scalar[float32](), factor: scalar[float32](), count: scalar[int32](), stopping: scalar[float32]()}
	if cfg.Precision == precisionFloat16 {
		r.scale = &lossScale{factor: firstLossScale}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.text, err = cfg.YAML(); err != nil {
		return nil, err
	}
	if r.share, err = newShare(cfg.Train, s.Group); err != nil {
		return nil, err
	}
	if !r.first() { // what is worth a line is so once
		r.Notef = func(string, ...any) {}
	}
	if err := r.agree(r.facts()); err != nil {
		return nil, err
	}
	o, err := LoaderOptions(cfg)
	if err != nil {
		return nil, err
	}
	o.BatchSize, o.Rank, o.Ranks = r.batch, r.rank, r.ranks
	if r.mixer, err = newMixer(cfg, r.batch); err != nil {
		return nil, err
	}
	o.Bad = func(err error) {
		s.Notef("in place of an image that cannot be read, another of its class is used: %v", err)
	}
	if r.loader, err = data.NewLoader(s.Train, o); err != nil {
		return nil, fmt.Errorf("training images: %w", err)
	}
	if n, k := r.batches(), cfg.Train.Accumulate; !r.alone() && n < k {
		return nil, fmt.Errorf("%w: %d training images, fewer than an update of train.batch_size %d times train.accumulate %d",
			data.ErrBadData, s.Train.Len(), cfg.Train.BatchSize, k)
	}
	r.val, err = data.NewLoader(s.Val, data.LoaderOptions{BatchSize: cfg.Eval.BatchSize, Workers: cfg.Data.Workers, Rank: r.rank, Ranks: r.ranks})
	if err != nil {
		return nil, fmt.Errorf("test images: %w", err)
	}
	r.schedule = newSchedule(cfg.Train, r.updates())
	if r.size, err = r.greatestSize(); err != nil { // the first to be compiled, so that memory that it lacks is missed now
		return nil, err
	}
	if cfg.Train.Resize.From > 0 {
		r.loader = r.loader.Sized(r.size)
	}
	for _, part := range []func() error{r.compile, r.compileEvaluation, r.begin, r.resize} {
		if err := ctx.Err(); err != nil { // there is nothing to save yet
			return nil, err
		}
		if err := r.wait(ctx, part); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func scalar[T float32 | int32]() *tensor.Dense {
	return tensor.New(tensor.WithShape(1), tensor.WithBacking(make([]T, 1)))
}

// compile builds the network for training.
func (r *run) compile() error {
	net, err := r.network(r.batch)
	if err != nil {
		return err
	}
	r.params = net.Graph.ParamElems()
	p, err := r.program(net, r.share)
	if err != nil {
		return err
	}
	if r.net, err = Open(r.Backend, p); err != nil {
		key := "train.batch_size"
		if !r.alone() {
			key = "a micro-batch of"
		}
		return advise(err, key, r.batch, func(batch int) (*graph.Program, error) {
			net, err := r.network(batch)
			if err != nil {
				return nil, err
			}
			return r.program(net, r.share)
		})
	}
	return nil
}

// compileEvaluation builds the network for inference, with the evaluation's batch size.
func (r *run) compileEvaluation() error {
	cfg := r.Config
	evalNet, err := model.Build(cfg.Model.Name, ModelOptions(cfg, cfg.Eval.BatchSize))
	if err != nil {
		return err
	}
	if r.eval, err = NewEvaluator(r.Backend, evalNet); err != nil {
		return advise(err, "eval.batch_size", cfg.Eval.BatchSize, func(batch int) (*graph.Program, error) {
			net, err := model.Build(cfg.Model.Name, ModelOptions(cfg, batch))
			if err != nil {
				return nil, err
			}
			return inference(net)
		})
	}
	r.planned = r.net.Memory().Peak() + r.eval.Memory().Peak()
	return nil
}

// wait is what part returns, which has nothing to save. Compiling a network and reading a checkpoint may take seconds: once ctx is
// cancelled part has one more, then it and the run's networks are left to themselves, since the process is about to end.
func (r *run) wait(ctx context.Context, part func() error) error {
	done := make(chan error, 1)
	go func() { done <- part() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(time.Second):
		r.left = true
		return ctx.Err()
	}
}

// network is the one to train, for batches of so many images of the run's size.
func (r *run) network(batch int) (*model.Network, error) {
	o := trainedOptions(r.Config)
	o.Batch, o.Height, o.Width = batch, r.size, r.size
	return model.Build(r.Config.Model.Name, o)
}

// program trains net as the config says, as s shares it.
func (r *run) program(net *model.Network, s share) (*graph.Program, error) {
	o := programOptions(r.Config.Train, s)
	o.LossScale = r.scale != nil
	p, err := graph.Training(net.Graph, net.Ends, o)
	if err == nil && r.Config.Train.PreciseBN > 0 {
		for _, n := range runningStats(p) {
			p.Kept = append(p.Kept, n.In...)
		}
	}
	return p, err
}

// describe is what reports say of the run before its first step.
func (r *run) describe(start time.Time) report.Run {
	cfg := r.Config
	return report.Run{
		Model: cfg.Model.Name, Params: r.params, PlannedBytes: r.planned,
		Device: r.Backend.Describe(), Data: cfg.Data.Source, TrainImages: r.Train.Len(), ValImages: r.Val.Len(),
		Epochs: cfg.Train.Epochs, BatchSize: cfg.Train.BatchSize, BatchesPerEpoch: r.batches(),
		StartStep: r.globalStep(), Started: start, Config: r.text,
	}
}

// facts are what must be the same on all ranks before they do anything together.
func (r *run) facts() map[string]string {
	facts := maps.Clone(r.Facts)
	if facts == nil {
		facts = map[string]string{}
	}
	for key, value := range r.Config.Fixed() {
		facts["config key "+key] = value
	}
	facts["config key eval.batch_size"] = fmt.Sprint(r.Config.Eval.BatchSize)
	return facts
}

// bestPath is the link to the best checkpoint.
func (r *run) bestPath() string { return filepath.Join(r.Config.Output.Dir, "best") }

// close frees the networks. What is closed already is left alone.
func (r *run) close() error {
	if r.left { // it would wait for the device
		return nil
	}
	var errs []error
	if r.net != nil {
		errs = append(errs, r.net.Close())
	}
	if r.eval != nil {
		errs = append(errs, r.eval.Close())
	}
	r.net, r.eval = nil, nil
	return errors.Join(errs...)
}
