package cli

import (
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/model"
	"senet/internal/train"
)

// CheckpointOptions are the flags of the commands that run a checkpoint's network.
type CheckpointOptions struct {
	Config    ConfigOptions
	Path      string
	Device    string
	Precision string
}

func (o *CheckpointOptions) addFlags(cmd *cobra.Command) {
	o.Config.addFlags(cmd)
	cmd.Flags().StringVar(&o.Path, "checkpoint", "", "`path` of a checkpoint folder or safetensors file (required)")
	addDeviceFlag(cmd, &o.Device)
	addPrecisionFlag(cmd, &o.Precision)
}

// trained is a network's tensors with the config that they were trained under.
type trained struct {
	path    string
	tensors train.Tensors
	config  config.Config
	classes []string // nil for a bare safetensors file
}

// load reads the checkpoint and its own config, or that of --config where it is given.
func (o *CheckpointOptions) load() (t trained, err error) {
	if o.Path == "" {
		return t, fmt.Errorf("%w: --checkpoint is required, e.g. --checkpoint runs/seresnet20-fashion-mnist/best", errUsage)
	}
	if o.Config.Path != "" { // before the tensors, which may take seconds
		if t.config, err = o.Config.load(); err != nil {
			return t, err
		}
	}
	var manifest *checkpoint.Manifest
	t.path = o.Path
	if t.tensors, manifest, err = checkpoint.LoadModel(o.Path); err != nil {
		return t, err
	}
	switch {
	case o.Config.Path == "" && manifest == nil:
		return t, fmt.Errorf("%w: %s is a bare model file: give its --config", errUsage, o.Path)
	case o.Config.Path == "":
		if t.config, err = config.Parse(o.Path, []byte(manifest.Config), o.Config.Sets); err != nil {
			return t, err
		}
	}
	if o.Device != "" {
		t.config.Device = o.Device
	}
	if o.Precision != "" {
		t.config.Precision = o.Precision
	}
	if manifest == nil {
		return t, nil
	}
	t.classes = manifest.Classes
	if manifest.Model != t.config.Model.Name {
		return t, fmt.Errorf("%w: %s holds %s, the config says model.name: %s", checkpoint.ErrBad, o.Path, manifest.Model, t.config.Model.Name)
	}
	return t, nil
}

// evaluator is a loaded network on an open backend.
type evaluator struct {
	*train.Evaluator
	trained
	params  int64
	backend backend.Backend
}

// Close frees the network and the backend.
func (e *evaluator) Close() error { return errors.Join(e.Evaluator.Close(), e.backend.Close()) }

// openEvaluator compiles a network for batches of the given size on its config's device.
func (d *deps) openEvaluator(t trained, batch int) (*evaluator, error) {
	net, err := model.Build(t.config.Model.Name, train.ModelOptions(t.config, batch))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrConfig, err)
	}
	b, err := d.openBackend(deviceOptions{device: t.config.Device, threads: t.config.Threads, precision: t.config.Precision})
	if err != nil {
		return nil, err
	}
	e, err := train.NewEvaluator(b, net)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := e.Load(t.tensors); err != nil {
		err = fmt.Errorf("%w: load %s into %s: %w", checkpoint.ErrBad, t.path, t.config.Model.Name, err)
		return nil, errors.Join(err, e.Close(), b.Close())
	}
	return &evaluator{Evaluator: e, trained: t, params: net.Graph.ParamElems(), backend: b}, nil
}

// finite is the error for an output, of what, that is not finite: from there nothing can be told.
func (t trained) finite(x float64, what string) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("%w: %s: %s is %v", checkpoint.ErrBad, t.path, what, x)
	}
	return nil
}
