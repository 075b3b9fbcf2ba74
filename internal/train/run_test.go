package train

import (
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/graph"
	"senet/internal/model"
)

// learned is a run that is long enough to learn the stripes.
func learned(t *testing.T, b *spy, dir string) (Setup, *recorder, Result) {
	t.Helper()
	s, r := smallRun(t, b, dir, "train.epochs=4", "train.batch_size=16", "data.augment.crop_pad=0")
	s.Train = &stripes{n: 200}
	result, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return s, r, result
}

func TestRunLearnsAndReports(t *testing.T) {
	b, dir, before := newSpy(t), t.TempDir(), time.Now()
	s, r, result := learned(t, b, dir)

	var order []string
	for epoch := range 4 {
		for step := range 12 {
			order = append(order, fmt.Sprint("step ", 12*epoch+step+1))
		}
		order = append(order, fmt.Sprint("epoch ", epoch+1))
	}
	if want := slices.Concat([]string{"start"}, order, []string{"finish"}); !slices.Equal(r.order, want) {
		t.Fatalf("events %v, want %v", r.order, want)
	}
	if last := r.epochs[3]; !(result.Best.Top1 >= 95 && last.ValTop1 >= 95 && last.TrainTop1 >= 90 && last.TrainLoss < r.epochs[0].TrainLoss) {
		t.Errorf("best %+v, last epoch %+v: has not learned", result.Best, last)
	}
	if result.BadSteps != 0 || result.Checkpoint != filepath.Join(dir, "best") {
		t.Errorf("result %+v", result)
	}
	checkStart(t, s, r, before)
	checkSteps(t, r)
	checkEpochs(t, r, result)
	checkSummary(t, r, result, time.Since(before))
	for epoch := 1; epoch <= 4; epoch++ {
		m := loadCheckpoint(t, dir, fmt.Sprintf("epoch-%04d", epoch)).Manifest
		x := r.epochs[epoch-1]
		if m.Val == nil || m.Val.Top1 != x.ValTop1 || m.Val.Loss != x.ValLoss || m.Val.Top5 != x.ValTop5 || m.IsBest != x.Best || m.GlobalStep != x.GlobalStep {
			t.Errorf("epoch %d: manifest %+v, event %+v", epoch, m, x)
		}
		if m.Model != "seresnet20_cifar" || m.Seed != 7 || !slices.Equal(m.Classes, s.Train.Classes()) || m.Libraries["test"] != "1" || m.Config != r.runs[0].Config {
			t.Errorf("epoch %d: manifest %+v", epoch, m)
		}
	}
}

func checkStart(t *testing.T, s Setup, r *recorder, before time.Time) {
	t.Helper()
	have := r.runs[0]
	net, err := model.Build("seresnet20_cifar", ModelOptions(s.Config, 1))
	if err != nil {
		t.Fatal(err)
	}
	params := int64(0)
	for _, v := range net.Graph.Params() {
		params += int64(v.Shape.Elems())
	}
	if have.Model != net.Name || have.Params != params || have.Device != s.Backend.Describe() || have.Data != "fashion-mnist" {
		t.Errorf("start %+v, want %d parameters", have, params)
	}
	if have.TrainImages != 200 || have.ValImages != valImages || have.Epochs != 4 || have.BatchSize != 16 || have.BatchesPerEpoch != 12 || have.StartStep != 0 {
		t.Errorf("start %+v", have)
	}
	if have.PlannedBytes < 4*4*params || have.Started.Before(before) || have.Started.After(time.Now()) { // at least parameters, momenta, gradients, evaluation
		t.Errorf("start %+v: planned bytes or time are off", have)
	}
	if cfg, err := config.Parse("config", []byte(have.Config), nil); err != nil || !reflect.DeepEqual(cfg, s.Config) {
		t.Errorf("config of start is %+v, want %+v: %v", cfg, s.Config, err)
	}
}

func checkSteps(t *testing.T, r *recorder) {
	t.Helper()
	schedule := Schedule{Base: 0.05, Min: 0.001, WarmupSteps: 6, Steps: 48} // half an epoch of warm-up
	for i, x := range r.steps {
		if x.GlobalStep != i+1 || x.Epoch != i/12+1 || x.Step != i%12+1 || x.Images != 16 || x.LR != schedule.At(i) {
			t.Errorf("step %d: %+v, want rate %v", i+1, x, schedule.At(i))
		}
		hits := x.Top1 / 100 * 16
		if !(x.Loss > 0 && x.Loss < 10) || !(hits >= 0 && hits <= 16) || hits != math.Trunc(hits) {
			t.Errorf("step %d: %+v: loss or hits are off", i+1, x)
		}
		if !(x.DataWait >= 0 && x.DataWait < x.StepTime) {
			t.Errorf("step %d: %+v: times are off", i+1, x)
		}
	}
}

func checkEpochs(t *testing.T, r *recorder, result Result) {
	t.Helper()
	best := Score{Top1: -1}
	for i, x := range r.epochs {
		loss, top1, took := 0.0, 0.0, time.Duration(0)
		for _, s := range r.steps[12*i : 12*i+12] {
			loss, top1, took = loss+s.Loss/12, top1+s.Top1/12, took+s.StepTime
		}
		if x.Epoch != i+1 || x.GlobalStep != 12*(i+1) || x.TrainTop5 != 100 || x.ValTop5 != 100 { // five guesses at three classes
			t.Errorf("epoch %d: %+v", i+1, x)
		}
		if !(math.Abs(x.TrainLoss-loss) <= 1e-9) || !(math.Abs(x.TrainTop1-top1) <= 1e-9) {
			t.Errorf("epoch %d: %+v, want the means of its steps, %v and %v", i+1, x, loss, top1)
		}
		if x.Duration < took || !(x.ImagesPerSecond > 0 && x.ImagesPerSecond <= 12*16/took.Seconds()) {
			t.Errorf("epoch %d: %+v: times are off for steps of %v", i+1, x, took)
		}
		if x.Best != (x.ValTop1 > best.Top1) {
			t.Errorf("epoch %d: %+v after a best of %v", i+1, x, best.Top1)
		}
		if x.Best {
			best = Score{Images: valImages, Loss: x.ValLoss, Top1: x.ValTop1, Top5: x.ValTop5}
			if i+1 > result.BestEpoch {
				t.Errorf("the best epoch is %d, not %d", i+1, result.BestEpoch)
			}
		}
	}
	if result.Best != best {
		t.Errorf("result %+v, want a best of %+v", result, best)
	}
}

func checkSummary(t *testing.T, r *recorder, result Result, took time.Duration) {
	t.Helper()
	have := r.summaries[0]
	if have.BestTop1 != result.Best.Top1 || have.BestEpoch != result.BestEpoch || have.Checkpoint != result.Checkpoint {
		t.Errorf("summary %+v of result %+v", have, result)
	}
	if have.Duration <= r.epochs[0].Duration || have.Duration > took || have.PeakBytes < r.runs[0].PlannedBytes/2 {
		t.Errorf("summary %+v: time or memory are off", have)
	}
}

// TestSavedModelScoresAsReported scores the best checkpoint twice: by an Evaluator with the run's batch
// size, to the bit, and by arithmetic on the logits of batches of another size.
func TestSavedModelScoresAsReported(t *testing.T) {
	b, dir := newSpy(t), t.TempDir()
	s, _, result := learned(t, b, dir)
	ts, m, err := checkpoint.LoadModel(result.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if m.Epoch != result.BestEpoch || !m.IsBest {
		t.Errorf("best is epoch %d, the best checkpoint's manifest says %d", result.BestEpoch, m.Epoch)
	}
	if have := evaluate(t, b, s, 8, ts, nil); have != result.Best {
		t.Errorf("the checkpoint scores %+v, the run says %+v", have, result.Best)
	}
	images, hits, loss := 0, 0, 0.0
	evaluate(t, b, s, 5, ts, func(b *data.Batch, logits [][]float32) error {
		if len(logits) != b.Size {
			return fmt.Errorf("%d rows of logits for %d images", len(logits), b.Size)
		}
		for i, row := range logits {
			label := b.Labels.Data().([]int32)[i]
			sum := 0.0
			for _, x := range row {
				sum += math.Exp(float64(x))
			}
			loss += math.Log(sum) - float64(row[label])
			images++
			if row[label] == slices.Max(row) {
				hits++
			}
		}
		return nil
	})
	if want := result.Best; images != want.Images || images != valImages || 100*float64(hits)/float64(images) != want.Top1 {
		t.Errorf("%d hits of %d images, the run says %+v", hits, images, want)
	}
	if have, want := loss/float64(images), result.Best.Loss; !(math.Abs(have-want) <= 1e-5) {
		t.Errorf("loss %v, the run says %v", have, want)
	}
}

// evaluate scores ts on the run's test images in batches of the given size.
func evaluate(t *testing.T, b *spy, s Setup, batch int, ts Tensors, each func(*data.Batch, [][]float32) error) Score {
	t.Helper()
	net, err := model.Build(s.Config.Model.Name, ModelOptions(s.Config, batch))
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(b, net)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := e.Load(ts); err != nil {
		t.Fatal(err)
	}
	loader, err := data.NewLoader(s.Val, data.LoaderOptions{BatchSize: batch, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	it := loader.Epoch(t.Context(), 0, 0)
	defer it.Close()
	score, err := e.Evaluate(it, each)
	if err != nil {
		t.Fatal(err)
	}
	if e.Memory().Peak() < graphBytes(net.Graph) {
		t.Errorf("memory of %d bytes does not hold the parameters", e.Memory().Peak())
	}
	return score
}

func graphBytes(g *graph.Graph) int64 {
	n := int64(0)
	for _, v := range g.Params() {
		n += v.Bytes()
	}
	return n
}
