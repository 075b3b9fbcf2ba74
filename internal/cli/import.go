package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/model"
	"senet/internal/train"
	"senet/internal/weights"
)

// ImportOptions are the flags and argument of `senet import`.
type ImportOptions struct {
	File  string
	Out   string
	Model string
	Sets  []string // key=value
	JSON  bool
}

// importReport is the --json object of `senet import`.
type importReport struct {
	Dialect    string            `json:"dialect"`
	Model      string            `json:"model"`
	Others     []string          `json:"others"` // further networks that the tensors fit
	Classes    int               `json:"classes"`
	Tensors    int               `json:"tensors"`
	Renamed    map[string]string `json:"renamed"` // from senet's name to the file's, where they differ
	Checkpoint string            `json:"checkpoint"`
}

// preprocessing is how nearly all ImageNet weights want their images, torchvision's and timm's legacy ones among them.
var preprocessing = []string{
	"data.image_size=224", "data.mean=[0.485, 0.456, 0.406]", "data.std=[0.229, 0.224, 0.225]",
	"data.crop_fraction=0.875", "data.interpolation=bilinear",
}

func newImportCmd(d *deps, run func(context.Context, *deps, ImportOptions) error) *cobra.Command {
	var o ImportOptions
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Bring in weights that another library saved", Args: cobra.ExactArgs(1),
		Long: `Bring in weights that another library saved as safetensors: timm and torchvision, timm's
legacy_* networks and pretrained-models, NVIDIA's DeepLearningExamples, moskomule's
senet.pytorch. The dialect and the network are recognised; wrappers such as state_dict, EMA and
module. are stripped. A checkpoint with a config of its own is written to --out, for eval, predict
and export. A .pth file is first converted with scripts/pth_to_safetensors.sh: senet does not
read pickles.

Images are preprocessed as usual for ImageNet: 224 pixels cropped from 256, bilinear, mean
0.485, 0.456, 0.406 and deviation 0.229, 0.224, 0.225. Weights that want it otherwise say so by
--set, e.g. --set data.crop_fraction=0.95 --set data.interpolation=bicubic.

--json prints {dialect, model, others, classes, tensors, renamed, checkpoint}: renamed maps senet's
tensor names to the file's, where they differ.`,
		Example: "  senet import seresnet50.safetensors --out runs/seresnet50\n  senet predict --checkpoint runs/seresnet50/best photo.jpg",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.File = args[0]
			return run(cmd.Context(), d, o)
		},
		ValidArgsFunction: cobra.FixedCompletions([]string{"safetensors"}, cobra.ShellCompDirectiveFilterFileExt),
	}
	cmd.Flags().StringVar(&o.Out, "out", "", "`folder` to write the checkpoint to (required)")
	cmd.Flags().StringVar(&o.Model, "model", "", "`name` of the network, where it is not to be recognised")
	cmd.Flags().StringArrayVar(&o.Sets, "set", nil, "set a config `key=value` of the checkpoint, e.g. data.crop_fraction=0.95 (repeatable)")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	_ = cmd.RegisterFlagCompletionFunc("model", cobra.FixedCompletions(model.Names(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runImport(_ context.Context, d *deps, o ImportOptions) error {
	if o.Out == "" {
		return fmt.Errorf("%w: --out is required", errUsage)
	}
	if there, err := checkpoint.Newest(o.Out); err != nil || there.Path != "" {
		return errors.Join(fmt.Errorf("%w: --out %s already holds a run", train.ErrTaken, o.Out), err)
	}
	ts, _, err := checkpoint.LoadModel(o.File)
	if err != nil {
		return err
	}
	found, err := weights.Import(ts, o.Model)
	if err != nil {
		return fmt.Errorf("import %s: %w", o.File, err)
	}
	cfg, err := config.Parse("import", []byte("model:\n  name: "+found.Model+"\n"), slices.Concat(preprocessing, importedKeys(found), o.Sets))
	if err != nil {
		return err
	}
	path, err := saveImported(d, cfg, found, o.Out)
	if err != nil {
		return err
	}
	r := importReport{
		Dialect: string(found.Dialect), Model: found.Model, Others: append([]string{}, found.Others...), Classes: found.Classes,
		Tensors: len(found.Tensors), Renamed: found.Renamed, Checkpoint: path,
	}
	if o.JSON {
		return writeJSON(d.Out, r)
	}
	return r.print(d)
}

// importedKeys are the config keys that the weights decide.
func importedKeys(w weights.Imported) []string {
	keys := []string{fmt.Sprintf("model.in_channels=%d", w.Channels), fmt.Sprintf("model.classes=%d", w.Classes)}
	if len(w.SE.Stages) == 0 {
		return keys
	}
	stages := strings.ReplaceAll(fmt.Sprint(w.SE.Stages), " ", ", ")
	return append(keys,
		fmt.Sprintf("model.se.reduction=%d", w.SE.Reduction), fmt.Sprintf("model.se.hidden_channels=%d", w.SE.Hidden),
		fmt.Sprintf("model.se.divisor=%d", w.SE.Divisor), "model.se.stages="+stages, fmt.Sprintf("model.se.bias=%v", !w.SE.NoBias))
}

// saveImported writes a checkpoint that stands before the first step.
func saveImported(d *deps, cfg config.Config, w weights.Imported, dir string) (string, error) {
	text, err := cfg.YAML()
	if err != nil {
		return "", err
	}
	store, err := checkpoint.Open(dir, checkpoint.Keep{Newest: 1})
	if err != nil {
		return "", err
	}
	return store.Save(checkpoint.State{
		Manifest: checkpoint.Manifest{Created: d.now(), Model: w.Model, Config: text, Libraries: libraries()},
		Model:    w.Tensors,
	}, checkpoint.SaveAs{Best: true})
}

func (r importReport) print(d *deps) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d classes, %d tensors in the dialect of %s\n", r.Model, r.Classes, r.Tensors, r.Dialect)
	for i, name := range slices.Sorted(maps.Keys(r.Renamed)) {
		if i == shownNames {
			fmt.Fprintf(&b, "  and %d more renamed; --json lists all\n", len(r.Renamed)-shownNames)
			break
		}
		fmt.Fprintf(&b, "  %s <- %s\n", name, r.Renamed[name])
	}
	if len(r.Others) > 0 {
		fmt.Fprintf(&b, "the tensors also fit %s: give --model if that is meant\n", strings.Join(r.Others, ", "))
	}
	fmt.Fprintf(&b, "saved %s\n", r.Checkpoint)
	_, err := d.Out.Write([]byte(b.String()))
	return err
}

// shownNames is how many renamed tensors the text shows: enough to see the pattern.
const shownNames = 6
