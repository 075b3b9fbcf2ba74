package cli

import (
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"senet/internal/report"
)

// TestTrainingLeavesItsRecord: the shared run wrote its progress to stdout, nothing to stderr,
// and into output.dir what later commands and tools read.
func TestTrainingLeavesItsRecord(t *testing.T) {
	f := newFixture(t)
	f.trained.want(t, 0)
	if f.trained.err != "" {
		t.Errorf("stderr: %s", f.trained.err)
	}
	for _, text := range []string{"seresnet20_cifar, 277,970 parameters", "64 train and 32 val images, 4 epochs of 8 steps, batch 8", "epoch 4/4 done: ", "done: best top-1 "} {
		if !strings.Contains(f.trained.out, text) {
			t.Errorf("stdout lacks %q:\n%s", text, f.trained.out)
		}
	}
	for _, link := range []string{"best", "last"} {
		if _, err := os.Stat(filepath.Join(f.run, link, "model.safetensors")); err != nil {
			t.Error(err)
		}
	}
	events, err := filepath.Glob(filepath.Join(f.run, "tensorboard", "events.out.tfevents.*"))
	if err != nil || len(events) != 1 {
		t.Errorf("TensorBoard files %v, error %v, want one file", events, err)
	} else if info, err := os.Stat(events[0]); err != nil || info.Size() < 32*50 { // 32 steps, each some scalars
		t.Errorf("%s: %v, error %v", events[0], info, err)
	}
	m := readMetrics(t, f.run)
	if len(m.Steps) != 32 || len(m.Epochs) != 4 || m.Finish == nil || m.Finish.Checkpoint != f.best() {
		t.Errorf("metrics.jsonl: %d steps, %d epochs, finish %+v, want 32, 4 and one with %s", len(m.Steps), len(m.Epochs), m.Finish, f.best())
	}
	if !(m.Finish.BestTop1 >= 50) {
		t.Errorf("top-1 %v %% after 4 epochs, want at least 50 %%: it does not learn", m.Finish.BestTop1)
	}
}

func readMetrics(t *testing.T, dir string) report.Metrics {
	t.Helper()
	m, err := report.ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestEvalAgreesWithTraining: eval of the best checkpoint finds what training found, as text and as JSON.
func TestEvalAgreesWithTraining(t *testing.T) {
	f := newFixture(t)
	m := readMetrics(t, f.run)
	best := m.Epochs[m.Finish.BestEpoch-1]

	o := senet("eval", "--config", f.config, "--checkpoint", f.best(), "--json")
	o.want(t, 0)
	if o.err != "" {
		t.Errorf("stderr: %s", o.err)
	}
	r := one[evalReport](t, o)
	if r.Top1 != best.ValTop1 || r.Top5 != best.ValTop5 || !(math.Abs(r.Loss-best.ValLoss) <= 1e-6) {
		t.Errorf("eval finds top-1 %v, top-5 %v, loss %v, training found %v, %v, %v", r.Top1, r.Top5, r.Loss, best.ValTop1, best.ValTop5, best.ValLoss)
	}
	if r.Model != "seresnet20_cifar" || r.Params != 277970 || r.ImageSize != side || r.Images != testImages || !(r.Seconds > 0) || r.PeakBytes <= 0 {
		t.Errorf("report %+v", r)
	}
	if r.Top1Err != 100-r.Top1 || r.Top5Err != 100-r.Top5 {
		t.Errorf("top-1 %v with error %v, top-5 %v with error %v", r.Top1, r.Top1Err, r.Top5, r.Top5Err)
	}
	right := 0
	for class, row := range r.Confusion {
		right += row[class]
	}
	if 100*float64(right)/testImages != r.Top1 {
		t.Errorf("%d on the diagonal of the confusion matrix, top-1 %v", right, r.Top1)
	}

	o = senet("eval", "--checkpoint", f.best()) // with the checkpoint's own config
	o.want(t, 0)
	line := fmt.Sprintf("seresnet20_cifar on 32 images: top-1 %.2f %%, top-5 %.2f %%, loss %.4f ", r.Top1, r.Top5, r.Loss)
	form := regexp.MustCompile("^" + regexp.QuoteMeta(line) + `\([0-9]+ img/s, planned peak memory [0-9.]+ [KM]iB\)\n$`)
	if !form.MatchString(o.out) || o.err != "" {
		t.Errorf("stdout %q, want %s\nstderr %q", o.out, form, o.err)
	}
}

// TestEvalWritesTheReport: beside the result on stdout there is a page that names every class, shows the training's curves, and loads nothing.
func TestEvalWritesTheReport(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "report.html")
	o := senet("eval", "--checkpoint", f.best(), "--report", path, "--json")
	o.want(t, 0)
	r := one[evalReport](t, o)
	if o.err != "report written to "+path+"\n" {
		t.Errorf("stderr: %q", o.err)
	}
	page := readFile(t, path)
	for _, text := range append(f.classes(t), "seresnet20_cifar on fashion-mnist", fmt.Sprintf("%.2f %%", r.Top1), f.best(), "Evaluation time", "Training time", "32 steps", "batch_size: 8") {
		if !strings.Contains(page, html.EscapeString(text)) {
			t.Errorf("the report lacks %q", text)
		}
	}
	if !strings.Contains(page, "<svg") || strings.Contains(page, `src="http`) {
		t.Error("the report has no curves, or loads something")
	}
}

// TestEvalResultOutlivesAFailedReport: the numbers are printed, then the report's folder turns out to be missing.
func TestEvalResultOutlivesAFailedReport(t *testing.T) {
	f := newFixture(t)
	o := senet("eval", "--checkpoint", f.best(), "--json", "--report", filepath.Join(t.TempDir(), "missing", "report.html"))
	o.want(t, 1, "--report: open ", "no such file or directory")
	if one[evalReport](t, o).Images != testImages {
		t.Errorf("stdout: %s", o.out)
	}
}

// TestPredictAgreesWithEval: the test images, written as PNG files, are classified one by one as eval classifies them in batches.
func TestPredictAgreesWithEval(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	var paths []string
	for i := range testImages {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("%02d.png", i)))
		writePNG(t, paths[i], picture(i%10, i))
	}
	o := senet(append([]string{"predict", "--checkpoint", f.best(), "--json", "--top", "3"}, paths...)...)
	o.want(t, 0)
	if o.err != "" {
		t.Errorf("stderr: %s", o.err)
	}
	r := one[predictReport](t, o)
	if r.Model != "seresnet20_cifar" || len(r.Images) != testImages {
		t.Fatalf("model %q, %d images", r.Model, len(r.Images))
	}
	classes := f.classes(t)
	confusion := make([][]int, len(classes))
	for i := range confusion {
		confusion[i] = make([]int, len(classes))
	}
	for i, p := range r.Images {
		if p.Path != paths[i] || len(p.Top) != 3 || p.Logits != nil || !(p.Top[0].Probability >= p.Top[1].Probability) {
			t.Fatalf("image %d: %+v", i, p)
		}
		if name := classes[p.Top[0].Class]; p.Top[0].Name != name {
			t.Errorf("class %d is called %q, want %q", p.Top[0].Class, p.Top[0].Name, name)
		}
		confusion[i%10][p.Top[0].Class]++
	}
	if want := one[evalReport](t, senet("eval", "--checkpoint", f.best(), "--json")).Confusion; !reflect.DeepEqual(confusion, want) {
		t.Errorf("predict's confusion matrix %v, eval's %v", confusion, want)
	}
}

// TestPredictPrintsProbabilitiesAndLogits: text and JSON tell the same, and the logits give the probabilities.
func TestPredictPrintsProbabilitiesAndLogits(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "a.png")
	writePNG(t, path, picture(7, 7))
	p := one[predictReport](t, senet("predict", "--checkpoint", f.best(), "--json", "--logits", "--top", "2", path)).Images[0]
	if len(p.Logits) != 10 || len(p.Top) != 2 {
		t.Fatalf("%d logits, %d classes", len(p.Logits), len(p.Top))
	}
	sum := 0.0
	for _, x := range p.Logits {
		sum += math.Exp(float64(x))
	}
	for _, c := range p.Top {
		if want := math.Exp(float64(p.Logits[c.Class])) / sum; !(math.Abs(c.Probability-want) <= 1e-12) {
			t.Errorf("class %d has probability %v, its logit says %v", c.Class, c.Probability, want)
		}
	}
	want := path + "\n"
	for _, c := range p.Top {
		want += fmt.Sprintf("  %6.2f %%  %s\n", 100*c.Probability, c.Name)
	}
	args := []string{"predict", "--config", f.config, "--checkpoint", f.best(), "--top", "2", path}
	if o := senet(args...); o.code != 0 || o.out != want || o.err != "" {
		t.Errorf("%+v, want stdout %q", o, want)
	}
	want += fmt.Sprintf("  logits %v\n", p.Logits)
	if o := senet(append(args, "--logits")...); o.code != 0 || o.out != want || o.err != "" {
		t.Errorf("%+v, want stdout %q", o, want)
	}
}

// TestBareModelFileNeedsAConfig: a safetensors file alone predicts with --config, without names for its classes.
func TestBareModelFileNeedsAConfig(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	model, picturePath := filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "a.png")
	writeFile(t, model, readFile(t, filepath.Join(f.best(), "model.safetensors")))
	writePNG(t, picturePath, picture(3, 3))
	senet("predict", "--checkpoint", model, picturePath).want(t, 2, model+" is a bare model file: give its --config")
	senet("eval", "--checkpoint", model).want(t, 2, model+" is a bare model file: give its --config")

	named := one[predictReport](t, senet("predict", "--checkpoint", f.best(), "--json", "--logits", picturePath)).Images[0]
	bare := one[predictReport](t, senet("predict", "--checkpoint", model, "--config", f.config, "--json", "--logits", picturePath)).Images[0]
	if !reflect.DeepEqual(bare.Logits, named.Logits) {
		t.Errorf("logits %v, those of the checkpoint are %v", bare.Logits, named.Logits)
	}
	if want := fmt.Sprintf("class %d", bare.Top[0].Class); bare.Top[0].Name != want {
		t.Errorf("name %q, want %q", bare.Top[0].Name, want)
	}
}

// TestResumeGoesOn: --resume auto trains the epochs that are missing, in the same folder and the same record.
func TestResumeGoesOn(t *testing.T) {
	f := newFixture(t)
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.CopyFS(dir, os.DirFS(f.run)); err != nil {
		t.Fatal(err)
	}
	o := senet(f.train(dir, "--set", "train.epochs=5", "--resume", "auto", "--force-config")...)
	o.want(t, 0, "begun otherwise:\n  train.epochs: was 4, is 5\n", "resuming ", "after 4 epochs and 0 steps")
	if strings.Count(o.err, "\n") != 3 || !strings.Contains(o.out, "epoch 5/5 done: ") || strings.Contains(o.out, "epoch 4/5") {
		t.Errorf("stdout: %s\nstderr: %s", o.out, o.err)
	}
	m := readMetrics(t, dir)
	if len(m.Steps) != 40 || len(m.Epochs) != 5 || m.Steps[39].GlobalStep != 40 || m.Finish == nil {
		t.Errorf("metrics.jsonl: %d steps, %d epochs, finish %v, want 40, 5 and one", len(m.Steps), len(m.Epochs), m.Finish)
	}
	named := senet(f.train(t.TempDir(), "--set", "train.epochs=5", "--force-config", "--resume", filepath.Join(f.run, "last"))...)
	named.want(t, 0, "resuming "+filepath.Join(f.run, "last"))
	again := readMetrics(t, filepath.Dir(named.checkpoint(t)))
	if got, want := again.Epochs[0].ValLoss, m.Epochs[4].ValLoss; got != want {
		t.Errorf("from a named checkpoint the epoch ends with loss %v, from auto with %v", got, want)
	}
}

// checkpoint is the one that a training ends with.
func (o outcome) checkpoint(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^checkpoint: (.*)$`).FindStringSubmatch(o.out)
	if m == nil {
		t.Fatalf("stdout names no checkpoint:\n%s", o.out)
	}
	return m[1]
}
