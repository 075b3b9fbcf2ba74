package report

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// recordTo plays f on the metrics file at path.
func recordTo(t *testing.T, path string, f func(*JSONL) error) {
	t.Helper()
	j, err := NewJSONL(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f(j); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) Metrics {
	t.Helper()
	m, err := ReadMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// steps records steps from first to last with the given loss, and their epochs.
func steps(j *JSONL, first, last int, loss float64) error {
	for g := first; g <= last; g++ {
		e := (g-1)/fashion.BatchesPerEpoch + 1
		if err := j.Step(Step{Epoch: e, Step: g - (e-1)*fashion.BatchesPerEpoch, GlobalStep: g, Loss: loss}); err != nil {
			return err
		}
		if g%fashion.BatchesPerEpoch == 0 {
			if err := j.Epoch(Epoch{Epoch: e, GlobalStep: g, ValLoss: loss}); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestMetricsComeBackAsTheyWereWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	step := Step{Epoch: 1, Step: 2, GlobalStep: 2, Images: 128, Loss: 0.1, Top1: 1.0 / 3, LR: 0.1, StepTime: 123456789, DataWait: 4567, LossScale: 1024, GPU: GPU{97, 23 << 30}}
	epoch := Epoch{
		Epoch: 1, GlobalStep: 6, TrainLoss: 0.1, TrainTop1: 0.2, TrainTop5: 0.3, ValLoss: 0.4, ValTop1: 0.5, ValTop5: 0.6,
		ImagesPerSecond: 0.7, Duration: 98765 * time.Microsecond, Best: true, ImageSize: 160,
		Gates: []Gates{{Stage: 1, Mean: 0.5, High: 12.5, Low: 0.25}, {Stage: 3, Mean: 1.0 / 3}},
	}
	finish := Summary{BestTop1: 91.2, BestEpoch: 1, Checkpoint: `a "b"/best`, Duration: time.Hour, PeakBytes: 1 << 40}
	recordTo(t, path, func(j *JSONL) error {
		for _, err := range []error{j.Start(fashion), j.Step(step), j.Epoch(epoch), j.Finish(finish)} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	want := Metrics{Run: fashion, Steps: []Step{step}, Epochs: []Epoch{epoch}, Finish: &finish}
	if have := read(t, path); !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v, want %+v", have, want)
	}
}

func TestSecondsAreExactToTheNanosecond(t *testing.T) {
	for i := range 1000 {
		if d := time.Duration(i*i*i*1001 + i); seconds(d.Seconds()) != d {
			t.Errorf("have %d ns, want %d", seconds(d.Seconds()), d)
		}
	}
}

func TestRowsHaveTheNamesThatToolsLookFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	j, err := NewJSONL(path)
	if err != nil {
		t.Fatal(err)
	}
	train(t, j, &at{})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]map[string]any{}
	for line := range strings.Lines(string(text)) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rows[row["event"].(string)] = row
	}
	for event, want := range map[string]map[string]any{
		"start":  {"model": "seresnet20", "params": 275546.0, "batches_per_epoch": 6.0, "config": fashion.Config, "started": "2026-01-02T03:04:05Z"},
		"step":   {"epoch": 2.0, "step": 6.0, "global_step": 12.0, "train.top1": 60.0, "train.lr": 0.125, "train.total_ips": 25.0, "train.data_time": 1.0, "train.compute_time": 3.0, "finite": true},
		"epoch":  {"epoch": 2.0, "global_step": 12.0, "train.loss": 0.5, "val.loss": 0.25, "val.top1": 90.0, "val.top5": 99.0, "duration": 26.0, "best": false, "finite": true},
		"finish": {"best.val.top1": 90.0, "checkpoint": "runs/x/best", "peak_bytes": float64(1 << 30)},
	} {
		for key, value := range want {
			if rows[event][key] != value {
				t.Errorf("%s row: %s is %v, want %v", event, key, rows[event][key], value)
			}
		}
	}
}

func TestNumbersThatAreNotFiniteAreNull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	recordTo(t, path, func(j *JSONL) error {
		if err := j.Start(fashion); err != nil {
			return err
		}
		if err := j.Step(Step{GlobalStep: 1, Loss: math.Inf(1), Top1: 7}); err != nil {
			return err
		}
		return j.Epoch(Epoch{Epoch: 1, ValLoss: math.NaN()})
	})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "gpu") {
		t.Errorf("a GPU in\n%s", text)
	}
	lines := strings.Split(string(text), "\n")
	for i, want := range map[int]string{1: `"finite":false,"train.loss":null,"train.top1":null`, 2: `"val.loss":null`} {
		if !json.Valid([]byte(lines[i])) || !strings.Contains(lines[i], want) || !strings.Contains(lines[i], `"finite":false`) {
			t.Errorf("row %s has no %s", lines[i], want)
		}
	}
	m := read(t, path)
	if !math.IsNaN(m.Steps[0].Loss) || !math.IsNaN(m.Steps[0].Top1) || !math.IsNaN(m.Epochs[0].ValLoss) {
		t.Errorf("have %+v, want NaN", m)
	}
}

func TestResumedRunSupersedesLaterRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	recordTo(t, path, func(j *JSONL) error {
		if err := j.Start(fashion); err != nil {
			return err
		}
		if err := steps(j, 1, 12, 1); err != nil {
			return err
		}
		return j.Finish(Summary{})
	})
	again := fashion
	again.StartStep = 4
	recordTo(t, path, func(j *JSONL) error {
		if err := j.Start(again); err != nil {
			return err
		}
		return steps(j, 5, 7, 2)
	})
	m := read(t, path)
	var have []float64
	for i, s := range m.Steps {
		if s.GlobalStep != i+1 {
			t.Errorf("step %d is at %d", s.GlobalStep, i)
		}
		have = append(have, s.Loss)
	}
	if want := []float64{1, 1, 1, 1, 2, 2, 2}; !slices.Equal(have, want) {
		t.Errorf("have losses %v, want %v", have, want)
	}
	if len(m.Epochs) != 1 || m.Epochs[0].ValLoss != 2 || m.Finish != nil || m.Run.StartStep != 4 {
		t.Errorf("have epochs %+v, finish %v, want the second attempt's", m.Epochs, m.Finish)
	}

	// An evaluation that is done anew at the same step counts once.
	recordTo(t, path, func(j *JSONL) error { return j.Epoch(Epoch{Epoch: 1, GlobalStep: 6, ValLoss: 3}) })
	if m := read(t, path); len(m.Epochs) != 1 || m.Epochs[0].ValLoss != 3 {
		t.Errorf("have epochs %+v, want the last row only", m.Epochs)
	}

	// So does a step.
	recordTo(t, path, func(j *JSONL) error { return steps(j, 7, 7, 3) })
	if m := read(t, path); len(m.Steps) != 7 || m.Steps[6].Loss != 3 {
		t.Errorf("have steps %+v, want the last row only", m.Steps)
	}

	// A run from the start in the same file replaces all.
	recordTo(t, path, func(j *JSONL) error { return j.Start(fashion) })
	if m := read(t, path); len(m.Steps) != 0 || len(m.Epochs) != 0 {
		t.Errorf("have %+v, want nothing of the earlier run", m)
	}
}

func TestKillLosesNoMoreThanTheLastRow(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "metrics.jsonl")
	recordTo(t, path, func(j *JSONL) error {
		if err := j.Start(fashion); err != nil {
			return err
		}
		return steps(j, 1, 3, 1)
	})
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut, want := range map[int]int{0: 3, 1: 3, 2: 2, 40: 2} { // bytes cut off, steps that are left
		if err := os.WriteFile(path, whole[:len(whole)-cut], 0o644); err != nil {
			t.Fatal(err)
		}
		if have := len(read(t, path).Steps); have != want {
			t.Errorf("cut by %d bytes: have %d steps, want %d", cut, have, want)
		}
		recordTo(t, path, func(j *JSONL) error { return steps(j, want+1, 5, 1) })
		if have := len(read(t, path).Steps); have != 5 {
			t.Errorf("cut by %d bytes and resumed: have %d steps, want 5", cut, have)
		}
	}
}

// counter counts writes.
type counter struct{ writes int }

func (c *counter) Write(p []byte) (int, error) { c.writes++; return len(p), nil }
func (c *counter) Close() error                { return nil }

func TestEachRowIsOneWrite(t *testing.T) {
	c := &counter{}
	if err := steps(&JSONL{w: c}, 1, 5, 1); err != nil || c.writes != 5 {
		t.Errorf("have %d writes (error %v), want 5", c.writes, err)
	}
}

func TestDamagedMetricsAreErrorsThatNameTheLine(t *testing.T) {
	const start = `{"event":"start","batches_per_epoch":6}` + "\n"
	for text, want := range map[string]string{
		start + "{\"event\":\n" + start:                     ":2: unexpected end",
		start + "not json\n":                                ":2: ",
		start + "\n":                                        ":2: ",
		start + `{"event":"stop"}` + "\n":                   `:2: unknown event "stop"`,
		`{"event":"step","global_step":1}` + "\n":           `:1: event "step" before the run's start`,
		`{"event":"start","batches_per_epoch":0}` + "\n":    ":1: batches_per_epoch is 0",
		start + `{"event":"step","global_step":"1"}` + "\n": ":2: json: cannot unmarshal string",
		start + `{"event":"epoch","epoch":"1"}` + "\n":      ":2: json: cannot unmarshal string",
		start + `{"event":"finish","duration":"1"}` + "\n":  ":2: json: cannot unmarshal string",
		`{"event":"start","model":1}` + "\n":                ":1: json: cannot unmarshal number",
	} {
		path := filepath.Join(t.TempDir(), "metrics.jsonl")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadMetrics(path); err == nil || !strings.Contains(err.Error(), path+want) {
			t.Errorf("%q: have error %v, want %q", text, err, want)
		}
	}
	if _, err := ReadMetrics(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("have error %v, want that there is no file", err)
	}
	if _, err := NewJSONL(t.TempDir()); err == nil {
		t.Error("a folder is no error")
	}
}
