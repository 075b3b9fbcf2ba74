package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/model"
	"senet/internal/onnx"
	"senet/internal/report"
	"senet/internal/train"
	"senet/internal/weights"
)

// ExportOptions are the flags of `senet export`.
type ExportOptions struct {
	Checkpoint CheckpointOptions
	Out        string
	Fold       bool
}

func newExportCmd(d *deps, run func(context.Context, *deps, ExportOptions) error) *cobra.Command {
	var o ExportOptions
	cmd := &cobra.Command{
		Use: "export", Short: "Write a checkpoint's network for other programs", Args: cobra.NoArgs,
		Long: `Write a checkpoint's network for other programs, in the format that the name of --out ends in:

  .safetensors  the tensors under timm's names, for Python
  .onnx         network and weights, opset 17: input "input" (batch, channels, height, width),
                normalised float32, output "logits" (batch, classes), for any batch size. The
                metadata say how images are preprocessed and name the classes.`,
		Example: "  senet export --checkpoint runs/seresnet20-fashion-mnist/best --out model.onnx --fold",
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.Checkpoint.Config.addFlags(cmd)
	cmd.Flags().StringVar(&o.Checkpoint.Path, "checkpoint", "", "`path` of a checkpoint folder or safetensors file (required)")
	cmd.Flags().StringVar(&o.Out, "out", "", "`file` to write, ending in .safetensors or .onnx (required)")
	cmd.Flags().BoolVar(&o.Fold, "fold", false, "ONNX: fold batch norm into the convolutions, for faster inference")
	return cmd
}

func runExport(_ context.Context, d *deps, o ExportOptions) error {
	write, ok := map[string]func(io.Writer, trained, bool) error{".safetensors": writeSafetensors, ".onnx": writeONNX}[filepath.Ext(o.Out)]
	if !ok {
		return fmt.Errorf("%w: --out %q: want a file that ends in .safetensors or .onnx", errUsage, o.Out)
	}
	t, err := o.Checkpoint.load()
	if err != nil {
		return err
	}
	size, err := replaceFile(o.Out, func(w io.Writer) error { return write(w, t, o.Fold) })
	if err != nil {
		return fmt.Errorf("export %s: %w", o.Out, err)
	}
	_, err = fmt.Fprintf(d.Out, "%s written to %s, %s\n", t.config.Model.Name, o.Out, report.FormatBytes(size))
	return err
}

func writeSafetensors(w io.Writer, t trained, _ bool) error {
	if _, err := t.network(); err != nil {
		return err
	}
	return checkpoint.WriteTensors(w, t.tensors)
}

func writeONNX(w io.Writer, t trained, fold bool) error {
	net, err := t.network()
	if err != nil {
		return err
	}
	c := t.config.Data
	return onnx.Write(w, net.Graph, net.Ends.Logits, t.tensors, onnx.Options{
		Name: t.config.Model.Name, Fold: fold, Version: Version,
		Metadata: map[string]string{
			"mean": numbers(c.Mean), "std": numbers(c.Std), "image_size": fmt.Sprint(c.ImageSize),
			"crop_fraction": fmt.Sprint(c.CropFraction), "interpolation": c.Interpolation, "classes": strings.Join(t.classes, "\n"),
		},
	})
}

func numbers(xs []float64) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(xs), "[]"), " ", ", ")
}

// network builds the network and verifies that the tensors are its own.
func (t trained) network() (*model.Network, error) {
	net, err := model.Build(t.config.Model.Name, train.ModelOptions(t.config, 1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrConfig, err)
	}
	if err := weights.Check(t.tensors, net); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", checkpoint.ErrBad, t.path, err)
	}
	return net, nil
}

// replaceFile writes a file under a temporary name beside it and then gives it its own, so that what was there
// before is only replaced by a whole file. It returns the file's size.
func replaceFile(path string, write func(io.Writer) error) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Sync()); err != nil {
		return 0, errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return info.Size(), os.Rename(f.Name(), path)
}
