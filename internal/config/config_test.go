package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

const minimal = "model: {name: seresnet20_cifar}\n"

// parse is Parse of a text that must be sound.
func parse(t *testing.T, text string, sets ...string) Config {
	t.Helper()
	cfg, err := Parse("test.yaml", []byte(text), sets)
	if err != nil {
		t.Fatalf("Parse(%q, %q): %v", text, sets, err)
	}
	return cfg
}

// refused checks that err is an ErrConfig that says want.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
		t.Errorf("have error %v\nwant an ErrConfig with %s", err, want)
	}
}

func TestDefaultsApplyToKeysNotGiven(t *testing.T) {
	want := Config{
		Device: "auto", Precision: "auto",
		Model: Model{
			Name: "seresnet20_cifar", InChannels: 1, Classes: 10, ZeroInitResidual: true,
			SE: SE{Reduction: 16, Stages: []int{1, 2, 3, 4}, Placement: "standard", Squeeze: "avg", Gate: "sigmoid", Bias: true},
		},
		Data: Data{
			Source: "fashion-mnist", Dir: "/usr/share/datasets/fashion-mnist", Train: "auto", Val: "auto", IndexDir: "auto", ImageSize: 28,
			Mean: []float64{0.286}, Std: []float64{0.353}, CropFraction: 1, Interpolation: "bicubic",
			Augment: Augment{
				MinScale: 0.08, Repeats: 1, RandAugment: RandAugment{Magnitude: 7, MagnitudeStd: 0.5, Probability: 0.5, Increasing: true},
				RandomErasing: Erasing{Mode: "const"}, Mix: Mix{Probability: 1, SwitchProbability: 0.5},
			},
		},
		Train: Train{
			Epochs: 100, BatchSize: 128, Accumulate: 1, Optimizer: "sgd", LR: 0.1, Schedule: "cosine", StepEpochs: 30, StepFactor: 0.1,
			Power: 1, Momentum: 0.9, WeightDecay: 1e-4, Loss: "cross-entropy", Resize: Resize{Multiple: 32}, BatchWarmup: BatchWarmup{From: 1}, GradientWire: "float32", Watchdog: 30,
		},
		Eval:   Eval{BatchSize: 250},
		Output: Output{Dir: "runs", KeepCheckpoints: 2, TensorBoard: true},
	}
	if have := parse(t, minimal); !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v\nwant %+v", have, want)
	}
}

func TestConfigsDoNotShareLists(t *testing.T) {
	parse(t, minimal).Data.Mean[0] = 7
	if have := parse(t, minimal).Data.Mean[0]; have != 0.286 {
		t.Errorf("data.mean is %v after another config's was changed", have)
	}
}

func TestOverridesWinInOrder(t *testing.T) {
	cfg := parse(t, minimal+"train: {epochs: 3, lr: 0.3}\n", "train.epochs=4", "data.mean=[0.5]", "train.epochs=5", "output.dir=a=b")
	if cfg.Train.Epochs != 5 || cfg.Train.LR != 0.3 || cfg.Data.Mean[0] != 0.5 || cfg.Output.Dir != "a=b" {
		t.Errorf("have %+v", cfg)
	}
	if cfg := parse(t, "# nothing\n", "model.name=resnet18"); cfg.Model.Name != "resnet18" {
		t.Errorf("have model.name %q", cfg.Model.Name)
	}
}

func TestEnvironmentIsIgnored(t *testing.T) {
	for _, name := range []string{"TRAIN_LR", "TRAIN.LR", "train.lr", "SENET_TRAIN_LR"} {
		t.Setenv(name, "9")
	}
	if cfg := parse(t, minimal); cfg.Train.LR != 0.1 {
		t.Errorf("have train.lr %v", cfg.Train.LR)
	}
}

func TestEveryProblemIsListedInOrder(t *testing.T) {
	const text = `model:
  name: x
train:
  lrr: 3
  lr: .nan
  epochs: "12"
  epochs: 3
  Momentum: 1
  min_lr: 7
train.lr: 3
flip: true
trian: 4
eval: 3
foo: {}
model: 3
1: 2
`
	want := `bad config: f.yaml:4: unknown key "train.lrr", did you mean "train.lr"?
bad config: f.yaml:5: train.lr: want a number in (0, 100], have .nan
bad config: f.yaml:6: train.epochs: want an integer in [1, 100000], have the string "12"
bad config: f.yaml:7: duplicate key "train.epochs", given before in line 6
bad config: f.yaml:8: unknown key "train.Momentum", did you mean "train.momentum"?
bad config: f.yaml:10: unknown key "train.lr": write its plain name, indented below its section
bad config: f.yaml:11: unknown key "flip", did you mean "data.augment.flip"?
bad config: f.yaml:12: unknown key "trian", did you mean "train"?
bad config: f.yaml:13: eval: want a mapping of keys to values, have 3
bad config: f.yaml:14: unknown key "foo"
bad config: f.yaml:15: duplicate key "model", given before in line 1
bad config: f.yaml:16: unknown key "1"
bad config: --set train.epochs=x: train.epochs: want an integer in [1, 100000], have the string "x"
bad config: --set data.mean=[0.5,.inf]: data.mean: want a list of 1 to 16 numbers in [0, 1], have [0.5, .inf]
bad config: --set foo: want key=value, such as train.epochs=1
bad config: --set train=3: train is a section: set its keys one by one
bad config: --set trian.lr=2: unknown key "trian.lr", did you mean "train.lr"?
bad config: --set output.dir=a: b: c: output.dir: want a printable string of 1 to 4096 bytes: yaml: mapping values are not allowed in this context
bad config: f.yaml: data.augment.crop_pad: want less than the image's size, have 28 with data.image_size 28`
	sets := []string{"train.epochs=x", "data.mean=[0.5,.inf]", "foo", "train=3", "trian.lr=2", "output.dir=a: b: c", "data.augment.crop_pad=28"}
	want = strings.Replace(want, "f.yaml: data.augment", "--set data.augment.crop_pad=28: data.augment", 1)
	cfg, err := Parse("f.yaml", []byte(text), sets)
	if err == nil || err.Error() != want {
		t.Errorf("have\n%v\nwant\n%s", err, want)
	}
	if !errors.Is(err, ErrConfig) || !reflect.DeepEqual(cfg, Config{}) {
		t.Errorf("want an ErrConfig and no config, have %v, %+v", errors.Is(err, ErrConfig), cfg)
	}
}

// TestProblemsHaveNoEcho: a refused value is one problem, and its key's default causes no second.
func TestProblemsHaveNoEcho(t *testing.T) {
	for _, c := range []struct {
		text string
		sets []string
	}{
		{"", []string{"model.name=["}},
		{"", []string{"model.name=1"}},
		{minimal, []string{"model.in_channels=3", "data.mean=[x, x, x]", "data.std=[1, 1, 1]"}},
		{minimal, []string{"model.in_channels=x", "data.mean=[0, 0, 0]", "data.std=[1, 1, 1]"}},
		{"model: 1", []string{"data.mean=[0, 0, 0]", "data.std=[1, 1, 1]"}},
		{"[", []string{"data.mean=[0, 0, 0]"}},
	} {
		_, err := Parse("f.yaml", []byte(c.text), c.sets)
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q with %q: want one problem, have\n%v", c.text, c.sets, err)
		}
	}
}

func TestTextThatIsNoConfigIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"syntax":          {"model:\n\tname: x\n", "bad config: f.yaml: yaml: line 2: found character that cannot start any token"},
		"list":            {"- 1\n", "bad config: f.yaml:1: top level: want a mapping of keys to values, have [1]"},
		"two documents":   {minimal + "---\n" + minimal, "bad config: f.yaml: line 2: a second YAML document"},
		"bad second":      {minimal + "---\n\t", "bad config: f.yaml: yaml: line 3: found character that cannot start any token"},
		"empty":           {"", `bad config: f.yaml: key "model.name" is required`},
		"only comments":   {"# model\n", `bad config: f.yaml: key "model.name" is required`},
		"null":            {"~\n", `bad config: f.yaml: key "model.name" is required`},
		"empty section":   {minimal + "train:\n", "bad config: f.yaml:2: train: want a mapping of keys to values, have nothing"},
		"no section":      {"model: x\n", "bad config: f.yaml:1: model: want a mapping of keys to values, have the string \"x\""},
		"mapping as null": {"!!null {a: 1}\n", "bad config: f.yaml:1: top level: want a mapping of keys to values, have a mapping"},
		"tagged mapping":  {"model: !!set {name: x}\n", "bad config: f.yaml:1: model: want a mapping of keys to values, have a mapping"},
		"escapes":         {minimal + `output: {dir: "\e[31m"}`, `bad config: f.yaml:2: output.dir: want a printable string of 1 to 4096 bytes, have the string "\x1b[31m"`},
		"escapes in key":  {minimal + `"\e[31m": 1`, `bad config: f.yaml:2: unknown key "\x1b[31m"`},
		"key of a tag":    {"model: {name: x, !!binary classes: 2}", `bad config: f.yaml:1: unknown key "model.classes": write its plain name, indented below its section`},
		"alias":           {"model: {name: &a x}\noutput: {dir: *a}\n", "bad config: f.yaml:2: output.dir: want a printable string of 1 to 4096 bytes, have an alias, which configs do not use"},
		"alias in list":   {minimal + "data: {mean: [&a 0.1], std: [*a]}\n", "bad config: f.yaml:2: data.std: want a list of 1 to 16 numbers in (0, 1], have [an alias, which configs do not use]"},
		"alias as key":    {"model: {name: &train x}\n*train : {lr: 1}\n", `bad config: f.yaml:2: unknown key "train": write its plain name, indented below its section`},
		"alias section":   {"model: &m {name: x}\neval: *m\n", "bad config: f.yaml:2: eval: want a mapping of keys to values, have an alias, which configs do not use"},
		"alias of itself": {minimal + "train: &t {epochs: 2, lr: *t}\n", "bad config: f.yaml:2: train.lr: want a number in (0, 100], have an alias, which configs do not use"},
		"merge":           {"model: &m {name: x}\neval:\n  <<: *m\n", `bad config: f.yaml:3: unknown key "eval.<<"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(c.text), nil)
			if err == nil || err.Error() != c.want {
				t.Errorf("have %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.yaml")
	_, err := Load(missing, nil)
	refused(t, err, missing)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not wrap fs.ErrNotExist", err)
	}
	_, err = Load(dir, nil)
	refused(t, err, dir)

	path := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(path, []byte(minimal+"eval: {batch_size: 0}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(path, nil)
	refused(t, err, path+":2: eval.batch_size: want an integer in [1, 65536], have 0")
}

func TestOneMebibyteIsTheLimit(t *testing.T) {
	text := minimal + "#" + strings.Repeat("x", maxBytes-len(minimal)-1)
	path := filepath.Join(t.TempDir(), "long.yaml")
	for extra, want := range []string{"", path + ": longer than 1024 KiB"} {
		if err := os.WriteFile(path, []byte(text+strings.Repeat("x", extra)), 0o600); err != nil {
			t.Fatal(err)
		}
		switch _, err := Load(path, nil); {
		case want != "":
			refused(t, err, want)
		case err != nil:
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}

func TestOnlySoManyProblemsAreListed(t *testing.T) {
	_, err := Parse("f.yaml", []byte(strings.Repeat("a: 1\n", 200)), nil)
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxProblems+1 || lines[maxProblems] != "bad config: f.yaml: more problems, not listed" {
		t.Errorf("have %d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

// TestHostileTextIsCheap: reading takes memory in proportion to the text, whatever it says.
func TestHostileTextIsCheap(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for _, level := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		last := "*a" + string(level[0]-1)
		bomb += "a" + level + ": &a" + level + " [" + strings.Repeat(last+", ", 9) + last + "]\n"
	}
	long := maxBytes / 8 // an eighth of the limit keeps the test fast
	for name, text := range map[string]string{
		"alias bomb":         bomb,
		"bomb in a section":  "train:\n" + strings.ReplaceAll("\n"+bomb, "\na", "\n  a"),
		"deep flow":          strings.Repeat("[", long),
		"deep mappings":      strings.Repeat("{a: ", 9000),
		"deep block":         strings.Repeat("- ", long/2),
		"many keys":          strings.Repeat("a:\n", long/3),
		"many unknown train": "train:\n" + strings.Repeat(" lrr: 1\n", long/8),
		"long key":           "? " + strings.Repeat("k", long) + "\n: 1\n",
		"long list":          "data: {mean: [" + strings.Repeat("0,", long/2) + "]}\n",
		"long string":        "output: {dir: " + strings.Repeat("d", long) + "}\n",
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse("f.yaml", []byte(text), nil)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrConfig) || len(err.Error()) > 16<<10 {
				t.Errorf("want a short ErrConfig, have %.200v", err)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 { // 19 MiB measured at most
				t.Errorf("took %d MiB", took>>20)
			}
		})
	}
}

func TestYAMLGivesTheSameConfig(t *testing.T) {
	everything := []string{
		"device=cuda:3", "precision=fp16", "threads=7", "model.name=resnet50", "model.in_channels=3", "model.classes=1000", "model.zero_init_residual=false",
		"model.v1_stride=true", "model.dropout=0.2", "model.se.reduction=4", "model.se.hidden_channels=32", "model.se.divisor=8",
		"model.se.stages=[1, 3]", "model.se.placement=post", "model.se.squeeze=max", "model.se.gate=hard-sigmoid", "model.se.bias=false", "data.dir=/d", "data.train=t-{0..9}.tar", "data.val=v.tar", "data.index_dir=/i", "data.image_size=224", "data.mean=[0.485, 0.456, 0.406]",
		"data.std=[0.229, 0.224, 0.225]", "data.crop_fraction=0.875", "data.interpolation=bilinear", "data.workers=9", "data.augment.crop_pad=5", "data.augment.flip=true", "data.augment.min_scale=0.25", "data.augment.repeats=3",
		"data.augment.rand_augment.ops=2", "data.augment.rand_augment.magnitude=6", "data.augment.rand_augment.magnitude_std=0.25", "data.augment.rand_augment.probability=0.75",
		"data.augment.rand_augment.increasing=false", "data.augment.trivial_augment=true", "data.augment.color_jitter.brightness=0.4", "data.augment.color_jitter.contrast=0.3",
		"data.augment.color_jitter.saturation=0.2", "data.augment.color_jitter.hue=0.1", "data.augment.random_erasing.probability=0.25", "data.augment.random_erasing.mode=pixel", "data.augment.mix.mixup_alpha=0.2", "data.augment.mix.cutmix_alpha=1",
		"data.augment.mix.probability=0.5", "data.augment.mix.switch_probability=0.25", "train.epochs=90",
		"train.batch_size=64", "train.accumulate=4", "train.optimizer=lamb", "train.schedule=one-cycle", "train.step_epochs=0.5", "train.step_factor=0.25",
		"train.power=2", "train.clip_norm=1.5", "train.ema_decay=0.9998", "train.loss=binary", "train.binary_threshold=0.2", "train.binary_sum=true", "train.lr=0.025", "train.min_lr=1e-7", "train.warmup_epochs=2.5", "train.momentum=0.875", "train.nesterov=true",
		"train.weight_decay=3e-05", "train.label_smoothing=0.30000000000000004", "train.seed=18446744073709551615",
		"train.resize.from=128", "train.resize.to=192", "train.resize.start_epoch=5", "train.resize.end_epoch=9", "train.resize.multiple=16",
		"train.batch_warmup.epochs=5", "train.batch_warmup.from=2", "train.precise_bn=200", "train.sync_bn=true", "train.gradient_wire=bf16", "train.watchdog=2.5",
		"eval.batch_size=1",
		"output.dir=o", "output.keep_checkpoints=0", "output.keep_every=7", "output.tensorboard=false", "output.metrics_port=9400",
	}
	cases := map[string][]string{
		"defaults": nil, "everything": everything, "whole numbers": {"train.lr=1", "train.min_lr=1.0", "data.std=[1]"},
		"tiny": {"train.lr=1e-30", "train.min_lr=1e-320"}, "last places": {"train.lr=0.1000000000000000055", "train.seed=9007199254740993"},
	}
	for _, s := range []string{`"12"`, `"true"`, `"~"`, `"a: b"`, `" #x"`, `é`, `"- x"`, `"'"`, `"\""`, `"*a"`, `"&a"`, `"!t"`, `"2026-01-01"`, `"<<"`, `"{"`, `"x "`, `"0x1"`, `"\\"`, strings.Repeat("long ", 800) + "x", `"💡"`} {
		cases["dir "+s] = []string{"output.dir=" + s}
	}
	for name, sets := range cases {
		t.Run(name, func(t *testing.T) {
			want := parse(t, minimal, sets...)
			text, err := want.YAML()
			if err != nil {
				t.Fatal(err)
			}
			have := parse(t, text)
			if !reflect.DeepEqual(have, want) {
				t.Errorf("have %+v\nwant %+v\nthrough\n%s", have, want, text)
			}
			if again, err := have.YAML(); err != nil || again != text {
				t.Errorf("written again: %v\n%s\nwant\n%s", err, again, text)
			}
		})
	}
	defaults, other := parse(t, minimal), parse(t, minimal, everything...)
	for _, k := range settings.keys { // else "everything" is not what it says
		if k.path != "data.source" && reflect.DeepEqual(defaults.value(k.path), other.value(k.path)) {
			t.Errorf("%s has its default in case everything", k.path)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "train.epochs=1")
	}
	for _, text := range []string{
		"", minimal, minimal + "data: {mean: [.nan]}", "a: &a [*a, *a]", "model: {name: \"\\x85\"}", "{{{{", "? [a]\n: b", "%YAML 1.2\n---\n", "\xff\xfem\x00",
		"model: {name: x, <<: {classes: 3}}", "train: {seed: 18446744073709551616}", "- - - -", "model: {name: !!binary eA==}", "\ufeff" + minimal,
	} {
		f.Add([]byte(text), "output.dir="+text)
	}
	f.Fuzz(func(t *testing.T, text []byte, set string) {
		if len(text)+len(set) > 1<<16 { // reading is linear, so longer ones only slow the search
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		cfg, err := Parse("f.yaml", text, []string{set})
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
			t.Fatalf("%d bytes of text took %d MiB", len(text)+len(set), took>>20)
		}
		if err != nil {
			if !errors.Is(err, ErrConfig) || !reflect.DeepEqual(cfg, Config{}) {
				t.Fatalf("want an ErrConfig and no config, have %v and %+v", err, cfg)
			}
			return
		}
		written, err := cfg.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("written.yaml", []byte(written), nil)
		if err != nil || !reflect.DeepEqual(again, cfg) {
			t.Fatalf("written and read again: %v, %+v, want %+v", err, again, cfg)
		}
	})
}
