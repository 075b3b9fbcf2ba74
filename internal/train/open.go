package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gorgonia.org/tensor"

	"senet/internal/checkpoint"
	"senet/internal/data"
	"senet/internal/graph"
	"senet/internal/model"
	"senet/internal/report"
)

// open compiles the networks, opens the loaders and the run's folder, and puts the run where it starts.
func open(s Setup) (_ *run, err error) {
	cfg := s.Config
	r := &run{Setup: s, rate: scalar[float32](), count: scalar[int32]()}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.text, err = cfg.YAML(); err != nil {
		return nil, err
	}
	r.loader, err = data.NewLoader(s.Train, data.LoaderOptions{
		BatchSize: cfg.Train.BatchSize, Workers: cfg.Data.Workers, Seed: cfg.Train.Seed, Train: true,
		Augment: data.Augment{Pad: cfg.Data.Augment.CropPad, Flip: cfg.Data.Augment.Flip},
	})
	if err != nil {
		return nil, fmt.Errorf("training images: %w", err)
	}
	r.val, err = data.NewLoader(s.Val, data.LoaderOptions{BatchSize: cfg.Eval.BatchSize, Workers: cfg.Data.Workers})
	if err != nil {
		return nil, fmt.Errorf("test images: %w", err)
	}
	r.schedule = Schedule{
		Base: cfg.Train.LR, Min: cfg.Train.MinLR, Steps: cfg.Train.Epochs * r.loader.Batches(),
		WarmupSteps: int(cfg.Train.WarmupEpochs * float64(r.loader.Batches())),
	}
	if err := r.compile(); err != nil {
		return nil, err
	}
	return r, r.begin()
}

func scalar[T float32 | int32]() *tensor.Dense {
	return tensor.New(tensor.WithShape(1), tensor.WithBacking(make([]T, 1)))
}

// compile builds the network for training and, with the evaluation's batch size, for inference.
func (r *run) compile() error {
	cfg := r.Config
	o := ModelOptions(cfg, cfg.Train.BatchSize)
	o.LabelSmoothing = float32(cfg.Train.LabelSmoothing)
	net, err := model.Build(cfg.Model.Name, o)
	if err != nil {
		return err
	}
	r.params = net.Graph.ParamElems()
	p, err := graph.Training(net.Graph, net.Ends, graph.TrainingOptions{SGD: graph.SGDOptions{
		Momentum: float32(cfg.Train.Momentum), WeightDecay: float32(cfg.Train.WeightDecay), Nesterov: cfg.Train.Nesterov,
	}})
	if err != nil {
		return err
	}
	if r.net, err = Open(r.Backend, p); err != nil {
		return err
	}
	evalNet, err := model.Build(cfg.Model.Name, ModelOptions(cfg, cfg.Eval.BatchSize))
	if err != nil {
		return err
	}
	r.eval, err = NewEvaluator(r.Backend, evalNet)
	return err
}

// begin opens the run's folder and starts from drawn weights or from the checkpoint to resume.
func (r *run) begin() error {
	dir := r.Config.Output.Dir
	found, err := r.find()
	if err != nil {
		return err
	}
	if r.store, err = checkpoint.Open(dir, r.Config.Output.KeepCheckpoints+1); err != nil {
		return err
	}
	if found.Path == "" {
		return r.net.Initialize(r.Config.Train.Seed)
	}
	if err := r.restore(found.State); err != nil {
		return fmt.Errorf("%w: resume %s: %w", checkpoint.ErrBad, found.Path, err)
	}
	r.Notef("resuming %s after %d epochs and %d steps", found.Path, r.where.epoch, r.where.batch)
	return nil
}

// find loads the checkpoint that Setup.Resume asks for. A folder that already holds a run is only gone on with
// when that was asked for: two runs' checkpoints in one folder would hide each other.
func (r *run) find() (checkpoint.Found, error) {
	dir := r.Config.Output.Dir
	switch r.Resume {
	case "":
		return checkpoint.Found{}, checkFree(dir)
	case ResumeAuto:
		found, err := checkpoint.Newest(dir)
		for _, skipped := range found.Skipped {
			r.Notef("skipped a damaged checkpoint: %v", skipped)
		}
		return found, err
	}
	state, err := checkpoint.Load(r.Resume)
	if err == nil && !isWithin(dir, r.Resume) {
		err = checkFree(dir)
	}
	return checkpoint.Found{Path: r.Resume, State: state}, err
}

// checkFree fails if dir holds a run, even one of damaged checkpoints only.
func checkFree(dir string) error {
	found, err := checkpoint.Newest(dir)
	if found.Path != "" || errors.Is(err, checkpoint.ErrBad) {
		return fmt.Errorf("%w: output.dir %s already holds a run: go on with it (--resume auto) or choose another folder", ErrTaken, dir)
	}
	return err
}

// isWithin reports whether the checkpoint at path, which may be a symlink, lies in dir.
func isWithin(dir, path string) bool {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	home, err := os.Stat(filepath.Join(path, ".."))
	if err != nil {
		return false
	}
	info, err := os.Stat(dir)
	return err == nil && os.SameFile(home, info)
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

func (r *run) close() error {
	var errs []error
	if r.net != nil {
		errs = append(errs, r.net.Close())
	}
	if r.eval != nil {
		errs = append(errs, r.eval.Close())
	}
	return errors.Join(errs...)
}
