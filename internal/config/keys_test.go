package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// lines is the YAML of a sound config, a line for each of settings.paths.
func lines(t *testing.T) []string {
	t.Helper()
	text, err := parse(t, minimal).YAML()
	if err != nil {
		t.Fatal(err)
	}
	ls := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(ls) != len(settings.paths) {
		t.Fatalf("%d lines for %d paths:\n%s", len(ls), len(settings.paths), text)
	}
	return ls
}

// wrongValues are YAML values that no key of the kind takes.
func wrongValues(t reflect.Type) []string {
	all := []string{"", "~", "{a: 1}", "[[1]]", "[{a: 1}]", "!foo 1", "!!binary eA==", "2001-01-01"}
	number := []string{`"1"`, `'0.1'`, "abc", "true", "[1]", "[]", "-1", "-99999999999999999999999", ".nan", ".NaN", ".inf", "-.inf", "99999999999999999999999", "1e30", "1e400", "010", "0x1", "0b1", "0o1", "1_0", "!!str 1"}
	switch t.Kind() {
	case reflect.Bool:
		return append(all, `"true"`, "yes", "on", "1", "0", "maybe", "-1", ".nan", "1e30", "[true]", "tru")
	case reflect.String:
		return append(all, "12", "true", ".nan", "-1", "1e30", `""`, `"a\tb"`, `"a\0b"`, `"a\nb"`, strings.Repeat("x", maxString+1), "[a]")
	case reflect.Slice:
		return append(all, "0.5", `"[0.5]"`, "[]", "[.nan]", "[.inf]", "[-1]", "[1e30]", `["0.5"]`, "[true]", "[~]", "["+strings.Repeat("0.5,", maxList+1)+"]", "!foo [0.5]")
	case reflect.Float64:
		return append(all, number...)
	case reflect.Uint64:
		return append(all, append(number, "1.0", "1.5", "1e2", "18446744073709551616")...)
	}
	return append(all, append(number, "1.0", "1.5", "1e2", "9223372036854775807", "9223372036854775808")...)
}

func TestEveryWrongValueIsRefusedByNameAndLine(t *testing.T) {
	sound := lines(t)
	for i, path := range settings.paths {
		k, isKey := settings.byPath[path]
		if !isKey {
			continue
		}
		before, _, _ := strings.Cut(sound[i], ":")
		for _, value := range wrongValues(k.typ) {
			wrong := slices.Clone(sound)
			wrong[i] = before + ": " + value
			_, err := Parse("f.yaml", []byte(strings.Join(wrong, "\n")), nil)
			refused(t, err, fmt.Sprintf("f.yaml:%d: %s: want %s, have ", i+1, path, k.want()))
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %s: more than one problem:\n%v", path, value, err)
			}
			_, err = Parse("f.yaml", []byte(minimal), []string{path + "=" + value})
			refused(t, err, ": "+path+": want "+k.want()+", have ")
			refused(t, err, "--set "+path+"=")
		}
	}
}

func TestEveryMisspeltKeyIsRefusedWithTheRightOne(t *testing.T) {
	sound := lines(t)
	for i, path := range settings.paths {
		section, name := "", path
		if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
			section, name = path[:dot], path[dot+1:]
		}
		for _, bad := range []string{name + name[len(name)-1:], strings.ToUpper(name), "x" + name, name + "-"} {
			wrong := slices.Clone(sound)
			wrong[i] = strings.Replace(sound[i], name, bad, 1)
			_, err := Parse("f.yaml", []byte(strings.Join(wrong, "\n")), nil)
			want := fmt.Sprintf("unknown key %q, did you mean %q?", join(section, bad), path)
			refused(t, err, fmt.Sprintf("f.yaml:%d: %s", i+1, want))
			_, err = Parse("f.yaml", []byte(minimal), []string{join(section, bad) + "=1"})
			refused(t, err, want)
		}
	}
}

func TestEveryRepeatedKeyIsRefused(t *testing.T) {
	sound := lines(t)
	for i, path := range settings.paths {
		if settings.sections[path] {
			continue
		}
		text := strings.Join(sound[:i+1], "\n") + "\n" + strings.Join(sound[i:], "\n")
		_, err := Parse("f.yaml", []byte(text), nil)
		refused(t, err, fmt.Sprintf("f.yaml:%d: duplicate key %q, given before in line %d", i+2, path, i+1))
	}
}

func TestRangesHoldAtTheirEnds(t *testing.T) {
	for _, k := range settings.keys {
		if k.bounds.text == "" {
			continue
		}
		for _, end := range []struct {
			at, inside, outside float64
			open                bool
		}{
			{k.bounds.low, math.Inf(1), math.Inf(-1), k.bounds.openLow},
			{k.bounds.high, math.Inf(-1), math.Inf(1), k.bounds.openHigh},
		} {
			step := func(to float64) float64 {
				if k.typ.Kind() == reflect.Int {
					return end.at + math.Copysign(1, to)
				}
				return float64(math.Nextafter32(float32(end.at), float32(to)))
			}
			for _, c := range []struct {
				x    float64
				want bool
			}{{end.at, !end.open}, {step(end.inside), true}, {step(end.outside), false}} {
				if have := k.bounds.contains(c.x); have != c.want {
					t.Errorf("%s: %v in %s is %v, want %v", k.path, c.x, k.bounds.text, have, c.want)
				}
			}
		}
	}
}

func TestIntervalContains(t *testing.T) {
	for _, c := range []struct {
		interval string
		x        float64
		want     bool
	}{
		{"[0, 1]", math.NaN(), false},
		{"[0, 1]", math.Inf(1), false},
		{"[0, 1]", math.Inf(-1), false},
		{"(0, 1)", 0.5, true},
		{"(0, 1]", 1e-50, false},     // 0 in float32
		{"[0, 1)", 1 - 1e-12, false}, // 1 in float32
		{"[0, 1]", 1 + 1e-12, false}, // 1 in float32, but not as written
		{"[-2, -1]", -1.5, true},
		{"[-2, -1]", 1.5, false},
	} {
		i, err := parseInterval(c.interval)
		if err != nil {
			t.Fatal(err)
		}
		if have := i.contains(c.x); have != c.want {
			t.Errorf("%v in %s is %v, want %v", c.x, c.interval, have, c.want)
		}
	}
}

func TestMalformedTagsPanic(t *testing.T) {
	for want, v := range map[string]any{
		`config.Config: tags of x: range "": want an interval`: struct {
			X int `mapstructure:"x" default:"1"`
		}{},
		`config.Config: tags of x: range "[a, 1]": `: struct {
			X int `mapstructure:"x" default:"1" range:"[a, 1]"`
		}{},
		`config.Config: tags of x: range "[1, a]": `: struct {
			X int `mapstructure:"x" default:"1" range:"[1, a]"`
		}{},
		`config.Config: tags of x: default "2": want an integer in [0, 1]`: struct {
			X int `mapstructure:"x" default:"2" range:"[0, 1]"`
		}{},
		`config.Config: tags of x: yaml: `: struct {
			X string `mapstructure:"x" default:"["`
		}{},
	} {
		func() {
			defer func() {
				if have := fmt.Sprint(recover()); !strings.HasPrefix(have, want) {
					t.Errorf("have panic %s, want %s", have, want)
				}
			}()
			schemaOf(reflect.TypeOf(v))
		}()
	}
}

func TestDeviceIsOneOfTheKnownForms(t *testing.T) {
	k := settings.byPath["device"]
	for value, want := range map[string]bool{
		"auto": true, "cpu": true, "cuda": true, "cuda:0": true, "cuda:12": true, "cuda:999": true,
		"CPU": false, "gpu": false, "cuda:": false, "cuda:N": false, "cuda:-1": false, "cuda:01": false, "cuda:1000": false, "cpu:0": false, "cuda:0 ": false, "auto, cpu": false, "12": false,
	} {
		if _, ok := k.decode(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}); ok != want {
			t.Errorf("device %q: allowed %v, want %v", value, ok, want)
		}
	}
}

func TestKeysThatContradictEachOtherAreRefused(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range []struct {
		rule string
		good []string // just within the rule
		bad  []string // just outside
		want string
	}{
		{
			"model.se.hidden_channels",
			[]string{"model.se.reduction=0", "model.se.hidden_channels=1"},
			[]string{"model.se.reduction=0"},
			"--set model.se.reduction=0: model.se.hidden_channels: want at least one of the two above 0, have 0 with model.se.reduction 0",
		},
		{
			"data.mean",
			[]string{"model.in_channels=2", "data.mean=[0.1, 0.2]", "data.std=[0.1, 0.2]"},
			[]string{"data.mean=[0.1, 0.2]"},
			"--set data.mean=[0.1, 0.2]: data.mean: want one entry per input channel, have [0.1 0.2] with model.in_channels 1",
		},
		{
			"data.std",
			[]string{"data.std=[0.1]"},
			[]string{"model.in_channels=2", "data.mean=[0.1, 0.2]"},
			"--set model.in_channels=2: data.std: want one entry per input channel, have [0.353] with model.in_channels 2",
		},
		{
			"data.augment.crop_pad",
			[]string{"data.augment.crop_pad=27"},
			[]string{"data.augment.crop_pad=28"},
			"data.augment.crop_pad: want less than the image's size, have 28 with data.image_size 28",
		},
		{
			"data.augment.crop_pad",
			[]string{"data.source=imagefolder"},
			[]string{"data.augment.crop_pad=2", "data.source=list"},
			"--set data.augment.crop_pad=2: data.augment.crop_pad: want 0 for image files, have 2 with data.source list",
		},
		{"train.min_lr", []string{"train.min_lr=0.1"}, []string{"train.min_lr=0.11"}, "train.min_lr: want at most the peak, have 0.11 with train.lr 0.1"},
		{
			"train.warmup_epochs",
			[]string{"train.epochs=2", "train.warmup_epochs=2"},
			[]string{"train.epochs=2", "train.warmup_epochs=2.5"},
			"--set train.warmup_epochs=2.5: train.warmup_epochs: want at most all epochs, have 2.5 with train.epochs 2",
		},
		{
			"train.warmup_epochs",
			[]string{"train.schedule=one-cycle", "train.warmup_epochs=0.5"},
			[]string{"train.schedule=one-cycle"},
			"--set train.schedule=one-cycle: train.warmup_epochs: want epochs to rise in, have 0 with train.schedule one-cycle",
		},
		{
			"train.nesterov",
			[]string{"train.nesterov=true", "train.momentum=0.1"},
			[]string{"train.nesterov=true", "train.momentum=0"},
			"train.nesterov: want momentum above 0 to look ahead with, have true with train.momentum 0",
		},
		{
			"train.resize.to",
			[]string{"train.resize.from=24", "train.resize.to=24"},
			[]string{"train.resize.from=24", "train.resize.to=23"},
			"train.resize.to: want at least from, 0 without it, have 23 with train.resize.from 24",
		},
		{
			"train.resize.to",
			[]string{"train.resize.from=28"},
			[]string{"train.resize.to=28"},
			"train.resize.to: want at least from, 0 without it, have 28 with train.resize.from 0",
		},
		{
			"train.resize.from",
			[]string{"train.resize.from=29", "train.resize.to=32"},
			[]string{"train.resize.from=29"},
			"train.resize.from: want at most that, unless train.resize.to is given, have 29 with data.image_size 28",
		},
		{
			"train.resize.end_epoch",
			[]string{"train.resize.start_epoch=3", "train.resize.end_epoch=3"},
			[]string{"train.resize.start_epoch=3", "train.resize.end_epoch=2"},
			"train.resize.end_epoch: want no earlier end than start, have 2 with train.resize.start_epoch 3",
		},
		{
			"train.batch_warmup.from",
			[]string{"train.accumulate=4", "train.batch_warmup.from=4"},
			[]string{"train.accumulate=4", "train.batch_warmup.from=5"},
			"train.batch_warmup.from: want at most that, have 5 with train.accumulate 4",
		},
	} {
		covered[c.rule] = true
		parse(t, minimal, c.good...)
		_, err := Parse("f.yaml", []byte(minimal), c.bad)
		refused(t, err, c.want)
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one problem:\n%v", c.rule, err)
		}
	}
	parse(t, minimal, "train.momentum=0")
	for _, r := range rules {
		if !covered[r.key] {
			t.Errorf("the rule of %s is not tested", r.key)
		}
		for _, path := range []string{r.key, r.other} {
			if _, ok := settings.byPath[path]; !ok {
				t.Errorf("a rule is about the unknown key %s", path)
			}
		}
	}
	_, err := Parse("f.yaml", []byte(minimal+"train:\n  lr: 0.5\n  min_lr: 0.6\n"), nil)
	refused(t, err, "f.yaml:4: train.min_lr: want at most the peak")
}

func TestNearest(t *testing.T) {
	for path, want := range map[string]string{
		"train.lrr": "train.lr", "train.learning_rate": "", "train.batchSize": "train.batch_size", "trian.lr": "train.lr", "lr": "train.lr",
		"model.hidden_channels": "model.se.hidden_channels", "train.flip": "data.augment.flip", "data.batch_size": "train.batch_size", "evl.batch_size": "eval.batch_size",
		"foo": "", "": "", "train.": "", "train.<<": "", "modle": "model", "augment": "data.augment", "model.name.x": "",
	} {
		if have := nearest(path); have != want {
			t.Errorf("nearest(%q) = %q, want %q", path, have, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"lr", "lrr", 1}, {"ab", "ba", 2}, {"flaw", "lawn", 2}} {
		if have := distance(c.a, c.b); have != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, have, c.want)
		}
	}
}
