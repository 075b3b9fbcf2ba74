package train

import (
	"context"
	"errors"
	"fmt"
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
	r := &run{Setup: s, rate: scalar[float32](), factor: scalar[float32](), count: scalar[int32]()}
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
	o, err := LoaderOptions(cfg)
	if err != nil {
		return nil, err
	}
	if r.mixer, err = newMixer(cfg); err != nil {
		return nil, err
	}
	o.Bad = func(err error) {
		s.Notef("in place of an image that cannot be read, another of its class is used: %v", err)
	}
	if r.loader, err = data.NewLoader(s.Train, o); err != nil {
		return nil, fmt.Errorf("training images: %w", err)
	}
	r.val, err = data.NewLoader(s.Val, data.LoaderOptions{BatchSize: cfg.Eval.BatchSize, Workers: cfg.Data.Workers})
	if err != nil {
		return nil, fmt.Errorf("test images: %w", err)
	}
	r.schedule = newSchedule(cfg.Train, r.updates())
	for _, part := range []func() error{r.compile, r.compileEvaluation, r.begin} {
		if err := ctx.Err(); err != nil { // there is nothing to save yet
			return nil, err
		}
		if err := part(); err != nil {
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
	cfg := r.Config
	net, err := r.network(cfg.Train.BatchSize)
	if err != nil {
		return err
	}
	r.params = net.Graph.ParamElems()
	p, err := r.program(net)
	if err != nil {
		return err
	}
	if r.net, err = Open(r.Backend, p); err != nil {
		return advise(err, "train.batch_size", cfg.Train.BatchSize, func(batch int) (*graph.Program, error) {
			net, err := r.network(batch)
			if err != nil {
				return nil, err
			}
			return r.program(net)
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
	return nil
}

// network is the one to train, for batches of the given size.
func (r *run) network(batch int) (*model.Network, error) {
	o := trainedOptions(r.Config)
	o.Batch = batch
	return model.Build(r.Config.Model.Name, o)
}

// program trains net as the config says.
func (r *run) program(net *model.Network) (*graph.Program, error) {
	o := programOptions(r.Config.Train)
	o.LossScale = r.scale != nil
	return graph.Training(net.Graph, net.Ends, o)
}

// describe is what reports say of the run before its first step.
func (r *run) describe(start time.Time) report.Run {
	cfg := r.Config
	return report.Run{
		Model: cfg.Model.Name, Params: r.params, PlannedBytes: r.net.Memory().Peak() + r.eval.Memory().Peak(),
		Device: r.Backend.Describe(), Data: cfg.Data.Source, TrainImages: r.Train.Len(), ValImages: r.Val.Len(),
		Epochs: cfg.Train.Epochs, BatchSize: cfg.Train.BatchSize, BatchesPerEpoch: r.loader.Batches(),
		StartStep: r.globalStep(), Started: start, Config: r.text,
	}
}

// bestPath is the link to the best checkpoint.
func (r *run) bestPath() string { return filepath.Join(r.Config.Output.Dir, "best") }

// close frees the networks. What is closed already is left alone.
func (r *run) close() error {
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
