package cli

import (
	"archive/tar"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wnids are the first classes of ImageNet.
var wnids = []string{"n01440764", "n01443537", "n01484850", "n01491361"}

// photo is a JPEG of so many pixels; the class tells its colour.
func photo(t *testing.T, class, i, w, h int) string {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(60 * class), uint8(200 - 40*class), uint8(x*4 + y + i*9), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// tinyImageNet writes folders with 8 training and 2 validation images of each class, and a config for them.
func tinyImageNet(t *testing.T) (dir, config string) {
	t.Helper()
	dir = t.TempDir()
	for class, id := range wnids {
		for _, s := range []struct {
			name string
			n    int
		}{{"train", 8}, {"val", 2}} {
			folder := filepath.Join(dir, s.name, id)
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			for i := range s.n {
				writeFile(t, filepath.Join(folder, fmt.Sprintf("%s_%d.JPEG", id, i)), photo(t, class, i, 40+5*i, 50))
			}
		}
	}
	text := fmt.Sprintf(`device: cpu
threads: 1
model: {name: seresnet20_cifar, in_channels: 3, classes: 4}
data: {source: imagefolder, dir: %q, image_size: 32, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], crop_fraction: 0.875, workers: 2, augment: {flip: true}}
train: {epochs: 2, batch_size: 8, lr: 0.05}
eval: {batch_size: 4}
output: {dir: %q}
`, dir, filepath.Join(dir, "run"))
	return dir, writeFile(t, filepath.Join(dir, "tiny.yaml"), text)
}

// TestImageNetStory: a data set is checked, indexed, packed and trained on, and shards give what folders give.
func TestImageNetStory(t *testing.T) {
	dir, config := tinyImageNet(t)
	do := func(args string, want ...string) outcome {
		t.Helper()
		o := senet(strings.Fields(strings.NewReplacer("CONFIG", "--config "+config, "DIR", dir).Replace(args))...)
		o.want(t, 0)
		for _, w := range want {
			if !strings.Contains(o.out, w) {
				t.Errorf("%s: stdout lacks %q:\n%s", args, w, o.out)
			}
		}
		return o
	}
	do("data verify CONFIG", "train: 32 images in 4 classes, 0 cannot be read\nval: 8 images in 4 classes, 0 cannot be read\n")
	v := one[verifyReport](t, do("data verify CONFIG --json"))
	if len(v.Splits) != 2 || v.Splits[0].Images != 32 || len(v.Splits[1].Bad) != 0 {
		t.Errorf("verify: %+v", v)
	}
	do("data stats CONFIG", "train: 32 images in 4 classes, 8 to 8 of each, median 8", "     1        8        2  n01443537 goldfish\n")
	s := one[statsReport](t, do("data stats CONFIG --split val --json"))
	if len(s.Splits) != 1 || s.Splits[0].Counts[3] != 2 || s.Classes[0] != "n01440764 tench" {
		t.Errorf("stats: %+v", s)
	}
	do("data index CONFIG --set data.index_dir=DIR/index", "train: 32 images in 4 classes, index "+dir+"/index/train.senet-index\n")
	do("data pack CONFIG --out DIR/packed --per-shard 10", "train: 32 images in 4 shards in "+dir+"/packed\nval: 8 images in 1 shards")
	do("train CONFIG --set data.index_dir=DIR/index", "done: best top-1")
	folders := do("eval --checkpoint DIR/run/best --json")
	shards := do("eval --checkpoint DIR/run/best --json --set data.source=webdataset --set data.dir=DIR/packed --set data.index_dir=auto")
	a, b := one[evalReport](t, folders), one[evalReport](t, shards)
	if a.Loss != b.Loss || a.Top1 != b.Top1 || a.Images != 8 {
		t.Errorf("folders give %+v, shards %+v", a, b)
	}
	do("data preview CONFIG --samples 3 --epochs 2 --out DIR/preview.html")
	page := readFile(t, filepath.Join(dir, "preview.html"))
	if n := strings.Count(page, "data:image/png;base64,"); n != 3*(1+2) || !strings.Contains(page, "n01440764 tench") || strings.Contains(page, "ZgotmplZ") {
		t.Errorf("preview has %d images:\n%.2000s", n, page)
	}
	bench := one[benchDataReport](t, do("bench data CONFIG --steps 6 --warmup 1 --json"))
	if !(bench.Speed > 0) || !(bench.PerCore > 0 && bench.PerCore <= bench.Speed) || bench.Workers != 2 || bench.Batch != 8 || bench.Source != "imagefolder" {
		t.Errorf("bench: %+v", bench)
	}
	do("bench data CONFIG --steps 6", "data imagefolder, batch 8, 6 steps: ", " img/s with 2 workers, ", " img/s per core")
}

// TestOneBadImageIsReplacedAndSeveralStopTraining: with exit code 3 and the file's name.
func TestOneBadImageIsReplacedAndSeveralStopTraining(t *testing.T) {
	dir, config := tinyImageNet(t)
	first, second := filepath.Join(dir, "train", wnids[1], wnids[1]+"_3.JPEG"), filepath.Join(dir, "train", wnids[2], wnids[2]+"_0.JPEG")
	writeFile(t, first, readFile(t, first)[:300])
	o := senet("train", "--config", config)
	o.want(t, 0, "in place of an image that cannot be read, another of its class is used: bad data: "+first)
	if strings.Count(o.err, first) != 1 {
		t.Errorf("the image is named more than once:\n%s", o.err)
	}
	o = senet("data", "verify", "--config", config)
	o.want(t, 3, "bad data: "+dir+": 1 of 40 images cannot be read")
	if !strings.Contains(o.out, "train: 32 images in 4 classes, 1 cannot be read\n  "+first+": ") {
		t.Errorf("stdout is\n%s", o.out)
	}
	writeFile(t, second, "")
	senet("train", "--config", config, "--set", "output.dir="+filepath.Join(dir, "other")).want(t, 3, "more than 1 of 32 images cannot be read", "senet data verify")
	bad := filepath.Join(dir, "val", wnids[0], wnids[0]+"_1.JPEG")
	writeFile(t, bad, "x")
	senet("eval", "--checkpoint", filepath.Join(dir, "run", "best")).want(t, 3, "bad data: "+bad)
	senet("data", "pack", "--config", config, "--out", filepath.Join(dir, "packed")).want(t, 3, "bad data: "+filepath.Join(dir, "train"))
}

// TestLabelTraps: each data set that would give an accuracy of chance is refused with what to do.
func TestLabelTraps(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		args   string
		code   int
		want   string
	}{
		"flat validation": {func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "val")))
			must(t, os.Mkdir(filepath.Join(dir, "val"), 0o755))
			writeFile(t, filepath.Join(dir, "val", "ILSVRC2012_val_00000001.JPEG"), photo(t, 0, 0, 40, 40))
		}, "data verify", 3, "put ILSVRC2012_devkit_t12.tar.gz or the ILSVRC2012_validation_ground_truth.txt"},
		"numbered folders": {func(t *testing.T, dir string) {
			for i, id := range wnids {
				for _, split := range []string{"train", "val"} {
					must(t, os.Rename(filepath.Join(dir, split, id), filepath.Join(dir, split, fmt.Sprint(i))))
				}
			}
		}, "train", 3, "its class folders are numbers (0, ...)"},
		"other validation classes": {func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "val", wnids[3]), filepath.Join(dir, "val", "n01518878")))
		}, "train", 3, "1 of 4 class folders are not among the 4 classes of the training folders or of classes.txt, the first is n01518878"},
		"other number of classes": {func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "train", wnids[3])))
			must(t, os.RemoveAll(filepath.Join(dir, "val", wnids[3])))
		}, "data verify", 2, "has 3 classes in split train, the config says model.classes 4"},
		"cut tar": {func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "train-000.tar"), strings.Repeat("x", 700))
		}, "train --set data.source=webdataset", 3, "train-000.tar: after 0 members"},
	} {
		dir, config := tinyImageNet(t)
		c.change(t, dir)
		t.Run(name, func(t *testing.T) {
			senet(append(strings.Fields(c.args), "--config", config)...).want(t, c.code, c.want)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointKnowsItsClasses: other images than it was trained on are refused.
func TestCheckpointKnowsItsClasses(t *testing.T) {
	_, config := tinyImageNet(t)
	dir := filepath.Dir(config)
	senet("train", "--config", config, "--set", "train.epochs=1").want(t, 0)
	writeFile(t, filepath.Join(dir, "classes.txt"), strings.Join([]string{wnids[1], wnids[0], wnids[2], wnids[3]}, "\n"))
	senet("eval", "--checkpoint", filepath.Join(dir, "run", "best")).want(t, 3,
		`label 0 is class "n01440764 tench" in the one and "n01443537 goldfish" in the other`, "classes.txt, in that order")
}

func TestWarnsOfLabelsBelowChance(t *testing.T) {
	for _, c := range []struct {
		top1    float64
		classes int
		warns   bool
	}{{0.1, 1000, true}, {1.5, 1000, false}, {0, 10, false}} {
		var b bytes.Buffer
		warnOfLabels(&deps{Streams: Streams{Err: &b}}, c.top1, c.classes)
		if warns := strings.Contains(b.String(), "senet data stats"); warns != c.warns {
			t.Errorf("%+v: %q", c, b.String())
		}
	}
}

func TestDataErrors(t *testing.T) {
	f := newFixture(t)
	_, config := tinyImageNet(t)
	for args, want := range map[string]string{
		"data verify":                                      "usage: --config is required",
		"data verify --config FASHION":                     "bad config: data.source is fashion-mnist, want one of image files: imagefolder, imagenet-tar, webdataset, list",
		"data index --config CONFIG --split both":          `invalid argument "both" for "--split" flag: want train or val`,
		"data pack --config CONFIG":                        "usage: --out is required",
		"data pack --config CONFIG --out x --per-shard 0":  "--per-shard 0",
		"data pack --config CONFIG --out x --quality 101":  "--quality 101",
		"data preview --config CONFIG":                     "usage: --out is required",
		"data preview --config CONFIG --out x --samples 0": "--samples 0",
		"data frobnicate":                                  `unknown command "frobnicate" for "senet data"`,
		"bench data":                                       "usage: --config is required",
		"bench data --config CONFIG --steps 0":             "--steps 0",
	} {
		senet(strings.Fields(strings.NewReplacer("CONFIG", config, "FASHION", f.config).Replace(args))...).want(t, 2, want)
	}
}

// TestPreviewIsOfAnySource: Fashion-MNIST's images are grey and padded.
func TestPreviewIsOfAnySource(t *testing.T) {
	f := newFixture(t)
	out := filepath.Join(t.TempDir(), "sheet.html")
	senet("data", "preview", "--config", f.config, "--set", "data.augment.crop_pad=2", "--out", out, "--samples", "2", "--epochs", "1").want(t, 0, "preview written to "+out)
	if page := readFile(t, out); strings.Count(page, "data:image/png") != 4 || !strings.Contains(page, "pixelated") {
		t.Errorf("preview is\n%.500s", page)
	}
	if o := senet("bench", "data", "--config", f.config, "--steps", "20"); o.code != 0 || !strings.HasPrefix(o.out, "data fashion-mnist, batch 8, 20 steps: ") {
		t.Errorf("%+v", o)
	}
}

// TestTarsOfImageNetTrain: from the tars as they are downloaded to a trained network.
func TestTarsOfImageNetTrain(t *testing.T) {
	dir, config := tinyImageNet(t)
	tarOf := func(files map[string]string, names ...string) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range names {
			must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(files[name])), Mode: 0o644}))
			_, err := w.Write([]byte(files[name]))
			must(t, err)
		}
		must(t, w.Close())
		return b.String()
	}
	outer, val := map[string]string{}, map[string]string{}
	var classes, images []string
	truth := ""
	for class, id := range wnids {
		inner, names := map[string]string{}, []string{}
		for i := range 8 {
			names = append(names, fmt.Sprintf("%s_%d.JPEG", id, i))
			inner[names[i]] = photo(t, class, i, 40, 44)
		}
		outer[id+".tar"] = tarOf(inner, names...)
		classes = append(classes, id+".tar")
		images = append(images, fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", class+1))
		val[images[class]] = photo(t, class, 20, 44, 40)
		truth += []string{"449\n", "450\n", "442\n", "443\n"}[class]
	}
	writeFile(t, filepath.Join(dir, "ILSVRC2012_img_train.tar"), tarOf(outer, classes...))
	writeFile(t, filepath.Join(dir, "ILSVRC2012_img_val.tar"), tarOf(val, images...))
	writeFile(t, filepath.Join(dir, "ILSVRC2012_validation_ground_truth.txt"), truth)
	o := senet("train", "--config", config, "--set", "data.source=imagenet-tar", "--set", "train.epochs=8")
	o.want(t, 0)
	if !strings.Contains(o.out, "best top-1 100.00 %") { // colours tell the classes; labels that do not fit would not be learned
		t.Errorf("stdout is\n%s", o.out)
	}
}
