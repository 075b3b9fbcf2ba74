// Package config reads a run's settings from YAML, strictly: an unknown, repeated, mistyped or
// out-of-range key is an error, and every problem of a file is listed at once. The fields of
// [Config] with their tags are the one list of keys; defaults, ranges and messages follow from it.
//
//	cfg, err := config.Load("configs/seresnet20-fashion-mnist.yaml", []string{"train.epochs=1"})
//	text, err := cfg.YAML() // the effective config: every key with its value
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrConfig is wrapped by every error about the text of a config or an override.
var ErrConfig = errors.New("bad config")

// Config is everything a run can be told. Tags of its fields:
//
//	mapstructure  the key, in snake case
//	default       the value, in YAML, of a key that is not given; without it the key is required
//	range         the interval that numbers must lie in, for a list each of its entries
//	oneof         the allowed strings; ":N" stands for a colon and a number
//	resume        "free" if a resumed run may have another value: the key says where to compute, how fast or what to
//	              leave behind, not what is trained
//
// A new key needs its field here and its entry in configs/reference.yaml.
//
// The defaults are He et al. 2016's training for small images (section 4.2) on Fashion-MNIST.
type Config struct {
	Device    string `mapstructure:"device" default:"auto" oneof:"auto, cpu, cuda, cuda:N" resume:"free"`
	Precision string `mapstructure:"precision" default:"auto" oneof:"auto, float32, tf32, bf16, fp16"`
	Threads   int    `mapstructure:"threads" default:"0" range:"[0, 1024]" resume:"free"` // of the CPU; 0: all cores
	Model     Model  `mapstructure:"model"`
	Data      Data   `mapstructure:"data"`
	Train     Train  `mapstructure:"train"`
	Eval      Eval   `mapstructure:"eval"`
	Output    Output `mapstructure:"output"`
}

// Model is the network. Whether Name exists is for the model package to say.
type Model struct {
	Name       string `mapstructure:"name"`
	InChannels int    `mapstructure:"in_channels" default:"1" range:"[1, 16]"` // 1 grey, 3 RGB
	Classes    int    `mapstructure:"classes" default:"10" range:"[2, 100000]"`

	// ZeroInitResidual starts every block as the identity, as timm does.
	ZeroInitResidual bool    `mapstructure:"zero_init_residual" default:"true"`
	V1Stride         bool    `mapstructure:"v1_stride" default:"false"`          // torchvision's and timm's ResNets are v1.5
	Dropout          float64 `mapstructure:"dropout" default:"0" range:"[0, 1)"` // share of the classifier's features
	SE               SE      `mapstructure:"se"`
}

// SE is where the SE blocks are and what they compute. HiddenChannels wins over Reduction where both are set.
type SE struct {
	Reduction      int    `mapstructure:"reduction" default:"16" range:"[0, 1024]"` // Hu et al. 2018's ratio
	HiddenChannels int    `mapstructure:"hidden_channels" default:"0" range:"[0, 8192]"`
	Divisor        int    `mapstructure:"divisor" default:"0" range:"[0, 8192]"` // 0: the network's own
	Stages         []int  `mapstructure:"stages" default:"[1, 2, 3, 4]" range:"[1, 4]"`
	Placement      string `mapstructure:"placement" default:"standard" oneof:"standard, pre, post, identity"`
	Squeeze        string `mapstructure:"squeeze" default:"avg" oneof:"avg, max"`
	Gate           string `mapstructure:"gate" default:"sigmoid" oneof:"sigmoid, hard-sigmoid, tanh, relu"`
	Bias           bool   `mapstructure:"bias" default:"true"`
}

// Data is the data set and what is done to its images.
type Data struct {
	Source string `mapstructure:"source" default:"fashion-mnist" oneof:"fashion-mnist, imagefolder, imagenet-tar, webdataset, list"`
	Dir    string `mapstructure:"dir" default:"/usr/share/datasets/fashion-mnist"` // of Debian's dataset-fashion-mnist
	// Train and Val are the splits of a source of image files, from Dir on; IndexDir is where their indexes lie.
	Train     string `mapstructure:"train" default:"auto"`
	Val       string `mapstructure:"val" default:"auto"`
	IndexDir  string `mapstructure:"index_dir" default:"auto" resume:"free"`
	ImageSize int    `mapstructure:"image_size" default:"28" range:"[1, 4096]"` // pixels, height and width

	// Mean and Std are per channel, of pixels scaled to [0, 1]; the defaults are those of the
	// 60000 training images.
	Mean []float64 `mapstructure:"mean" default:"[0.2860]" range:"[0, 1]"`
	Std  []float64 `mapstructure:"std" default:"[0.3530]" range:"(0, 1]"`

	// CropFraction and Interpolation are how an image file of another size becomes the network's input.
	CropFraction  float64 `mapstructure:"crop_fraction" default:"1" range:"(0, 1]"`
	Interpolation string  `mapstructure:"interpolation" default:"bicubic" oneof:"bicubic, bilinear"`

	Workers int     `mapstructure:"workers" default:"0" range:"[0, 1024]" resume:"free"` // goroutines; 0: one per processor
	Augment Augment `mapstructure:"augment"`
}

// Augment changes training images at random. It is off by default: what leaves a label true
// depends on the data (a mirrored shoe is a shoe, a mirrored digit is not a digit).
type Augment struct {
	CropPad int  `mapstructure:"crop_pad" default:"0" range:"[0, 256]"` // pixels around the image before a crop of its size
	Flip    bool `mapstructure:"flip" default:"false"`                  // left to right, half of the images
	// MinScale is the smallest share of an image file's area that a crop shows: torchvision's default.
	MinScale float64 `mapstructure:"min_scale" default:"0.08" range:"(0, 1]"`
	Repeats  int     `mapstructure:"repeats" default:"1" range:"[1, 16]"` // of each drawn image in an epoch, which stays as long

	// At most one of these three; defaults within them are those of the recipes that use them.
	RandAugment    RandAugment `mapstructure:"rand_augment"`
	TrivialAugment bool        `mapstructure:"trivial_augment" default:"false"`
	ColorJitter    ColorJitter `mapstructure:"color_jitter"`
	RandomErasing  Erasing     `mapstructure:"random_erasing"`
	Mix            Mix         `mapstructure:"mix"`
}

// Mix is mixup and CutMix of whole batches, as in timm's batch mode.
type Mix struct {
	MixupAlpha        float64 `mapstructure:"mixup_alpha" default:"0" range:"[0, 1000]"`  // 0: no mixup
	CutmixAlpha       float64 `mapstructure:"cutmix_alpha" default:"0" range:"[0, 1000]"` // 0: no CutMix
	Probability       float64 `mapstructure:"probability" default:"1" range:"[0, 1]"`
	SwitchProbability float64 `mapstructure:"switch_probability" default:"0.5" range:"[0, 1]"`
}

// RandAugment is timm's; the defaults are rand-m7-mstd0.5-inc1 of Wightman et al. 2021, but off.
type RandAugment struct {
	Ops          int     `mapstructure:"ops" default:"0" range:"[0, 32]"` // 0: off
	Magnitude    float64 `mapstructure:"magnitude" default:"7" range:"[0, 10]"`
	MagnitudeStd float64 `mapstructure:"magnitude_std" default:"0.5" range:"[0, 10]"`
	Probability  float64 `mapstructure:"probability" default:"0.5" range:"[0, 1]"`
	Increasing   bool    `mapstructure:"increasing" default:"true"`
}

// ColorJitter is torchvision's; 0 leaves a property alone.
type ColorJitter struct {
	Brightness float64 `mapstructure:"brightness" default:"0" range:"[0, 100]"`
	Contrast   float64 `mapstructure:"contrast" default:"0" range:"[0, 100]"`
	Saturation float64 `mapstructure:"saturation" default:"0" range:"[0, 100]"`
	Hue        float64 `mapstructure:"hue" default:"0" range:"[0, 0.5]"`
}

// Erasing is timm's random erasing.
type Erasing struct {
	Probability float64 `mapstructure:"probability" default:"0" range:"[0, 1]"`
	Mode        string  `mapstructure:"mode" default:"const" oneof:"const, pixel"`
}

// Train is the optimiser, its schedule and the loss.
type Train struct {
	Epochs     int `mapstructure:"epochs" default:"100" range:"[1, 100000]"` // Hu et al. 2018's
	BatchSize  int `mapstructure:"batch_size" default:"128" range:"[1, 65536]"`
	Accumulate int `mapstructure:"accumulate" default:"1" range:"[1, 4096]"` // batches an update

	// Optimizer has PyTorch's and timm's defaults but for the keys here; Momentum and Nesterov are SGD's alone.
	Optimizer    string  `mapstructure:"optimizer" default:"sgd" oneof:"sgd, adamw, lamb"`
	LR           float64 `mapstructure:"lr" default:"0.1" range:"(0, 100]"` // peak, for this batch size
	Schedule     string  `mapstructure:"schedule" default:"cosine" oneof:"cosine, step, one-cycle, polynomial"`
	MinLR        float64 `mapstructure:"min_lr" default:"0" range:"[0, 100]"`
	WarmupEpochs float64 `mapstructure:"warmup_epochs" default:"0" range:"[0, 1000]"` // 0: none, enough for LR's default
	StepEpochs   float64 `mapstructure:"step_epochs" default:"30" range:"(0, 100000]"`
	StepFactor   float64 `mapstructure:"step_factor" default:"0.1" range:"(0, 1]"`
	Power        float64 `mapstructure:"power" default:"1" range:"(0, 10]"`
	Momentum     float64 `mapstructure:"momentum" default:"0.9" range:"[0, 1)"`
	Nesterov     bool    `mapstructure:"nesterov" default:"false"`
	WeightDecay  float64 `mapstructure:"weight_decay" default:"1e-4" range:"[0, 1]"`
	ClipNorm     float64 `mapstructure:"clip_norm" default:"0" range:"[0, 1000000]"` // 0: none
	EMADecay     float64 `mapstructure:"ema_decay" default:"0" range:"[0, 1)"`       // 0: none

	Loss            string  `mapstructure:"loss" default:"cross-entropy" oneof:"cross-entropy, binary"`
	LabelSmoothing  float64 `mapstructure:"label_smoothing" default:"0" range:"[0, 1)"`
	BinaryThreshold float64 `mapstructure:"binary_threshold" default:"0" range:"[0, 1)"` // 0: none
	BinarySum       bool    `mapstructure:"binary_sum" default:"false"`
	Seed            uint64  `mapstructure:"seed" default:"0" range:"[0, 18446744073709551615]"`

	Resize      Resize      `mapstructure:"resize"`
	BatchWarmup BatchWarmup `mapstructure:"batch_warmup"`
	PreciseBN   int         `mapstructure:"precise_bn" default:"0" range:"[0, 100000]"` // batches; 0: none

	// Of training on several ranks; alone, SyncBN and GradientWire have no effect.
	SyncBN       bool    `mapstructure:"sync_bn" default:"false"`
	GradientWire string  `mapstructure:"gradient_wire" default:"float32" oneof:"float32, bf16"`
	Watchdog     float64 `mapstructure:"watchdog" default:"30" range:"[0, 10000]" resume:"free"` // minutes; 0: none
}

// Resize lets training images grow, as the recipes of ffcv do; an evaluation has Data.ImageSize.
type Resize struct {
	From       int `mapstructure:"from" default:"0" range:"[0, 4096]"` // 0: off
	To         int `mapstructure:"to" default:"0" range:"[0, 4096]"`   // 0: Data.ImageSize
	StartEpoch int `mapstructure:"start_epoch" default:"0" range:"[0, 100000]"`
	EndEpoch   int `mapstructure:"end_epoch" default:"0" range:"[0, 100000]"`
	Multiple   int `mapstructure:"multiple" default:"32" range:"[1, 4096]"` // ffcv's
}

// BatchWarmup begins with smaller updates than of Train.Accumulate batches.
type BatchWarmup struct {
	Epochs int `mapstructure:"epochs" default:"0" range:"[0, 100000]"` // 0: off
	From   int `mapstructure:"from" default:"1" range:"[1, 4096]"`     // batches an update
}

// Eval is the evaluation after each epoch and of `senet eval`.
type Eval struct {
	BatchSize int `mapstructure:"batch_size" default:"250" range:"[1, 65536]" resume:"free"` // divides the 10000 test images
}

// Output is what a run leaves behind.
type Output struct {
	Dir string `mapstructure:"dir" default:"runs" resume:"free"`

	// KeepCheckpoints is how many epochs' checkpoints are kept beside the best and the last one.
	// Two by default: should the last one be damaged, a resumed run loses an epoch, not everything.
	KeepCheckpoints int `mapstructure:"keep_checkpoints" default:"2" range:"[0, 100000]" resume:"free"`

	KeepEvery   int  `mapstructure:"keep_every" default:"0" range:"[0, 100000]" resume:"free"` // epochs; 0: none is kept for good
	TensorBoard bool `mapstructure:"tensorboard" default:"true" resume:"free"`

	MetricsPort int `mapstructure:"metrics_port" default:"0" range:"[0, 65535]" resume:"free"` // on 127.0.0.1; 0: none
}

// maxBytes bounds the text of a config; the reference file has 4 KiB.
const maxBytes = 1 << 20

// Load reads the config file at path and applies the overrides in sets, each key=value with the
// value in YAML; a later override wins. Errors wrap ErrConfig, also where the file cannot be read.
func Load(path string, sets []string) (Config, error) {
	text, err := readFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return Parse(path, text, sets)
}

func readFile(path string) (text []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxBytes+1)) // one more, so that Parse sees that it is too long
}

// Parse reads a config from text as Load does; name stands for the file in errors.
func Parse(name string, text []byte, sets []string) (Config, error) {
	r := newReader(name)
	r.file(text)
	for _, s := range sets {
		r.set(s)
	}
	return r.config()
}
