package report

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var fashion = Run{
	Model: "seresnet20", Params: 275546, PlannedBytes: 130 << 20, Device: "cpu: two cores", Data: "fashion-mnist",
	TrainImages: 600, ValImages: 100, Epochs: 2, BatchSize: 100, BatchesPerEpoch: 6,
	Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Config: "train:\n  epochs: 2\n",
}

// train plays two epochs of six steps of four seconds and two of evaluation on s.
func train(t *testing.T, s Sink, clock *at) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Start(fashion))
	for e := range fashion.Epochs {
		for i := range fashion.BatchesPerEpoch {
			clock.Time = clock.Add(4 * time.Second)
			g := e*fashion.BatchesPerEpoch + i + 1
			must(s.Step(Step{
				Epoch: e + 1, Step: i + 1, GlobalStep: g, Images: 100, Loss: 1 / float64(g), Top1: float64(5 * g), LR: 0.125,
				StepTime: 4 * time.Second, DataWait: time.Second,
			}))
		}
		clock.Time = clock.Add(2 * time.Second)
		must(s.Epoch(Epoch{
			Epoch: e + 1, GlobalStep: (e + 1) * fashion.BatchesPerEpoch, TrainLoss: 0.5, TrainTop1: 80, TrainTop5: 98,
			ValLoss: 0.25, ValTop1: 90, ValTop5: 99, ImagesPerSecond: 25, Duration: 26 * time.Second, Best: e == 0,
		}))
	}
	must(s.Finish(Summary{BestTop1: 90, BestEpoch: 1, Checkpoint: "runs/x/best", Duration: 52 * time.Second, PeakBytes: 1 << 30}))
	must(s.Close())
}

func TestPipeGetsPlainLinesEveryTenSecondsAndAtEachEpochsEnd(t *testing.T) {
	var out strings.Builder
	clock := &at{}
	train(t, NewTerminal(&out, TerminalOptions{Now: clock.now}), clock)
	want := `seresnet20, 275,546 parameters, planned memory 130.00 MiB, on cpu: two cores
fashion-mnist: 600 train and 100 val images, 2 epochs of 6 steps, batch 100
epoch 1/2 step 3/6 loss 0.6111 top-1 10.00 % lr 0.125 25 img/s data 25 % eta 36s
epoch 1/2 step 6/6 loss 0.4083 top-1 17.50 % lr 0.125 25 img/s data 25 % eta 24s
epoch 1/2 done: train loss 0.5000 top-1 80.00 %, val loss 0.2500 top-1 90.00 % top-5 99.00 %, 25 img/s, 26s, best so far
epoch 2/2 step 3/6 loss 0.1263 top-1 40.00 % lr 0.125 25 img/s data 25 % eta 14s
epoch 2/2 step 6/6 loss 0.1089 top-1 47.50 % lr 0.125 25 img/s data 25 % eta 2s
epoch 2/2 done: train loss 0.5000 top-1 80.00 %, val loss 0.2500 top-1 90.00 % top-5 99.00 %, 25 img/s, 26s
done: best top-1 90.00 % in epoch 1, took 52s, peak memory 1.00 GiB
checkpoint: runs/x/best
evaluate: senet eval --checkpoint runs/x/best --report runs/x/report.html
`
	if out.String() != want {
		t.Errorf("have\n%s\nwant\n%s", out.String(), want)
	}
	if strings.ContainsAny(out.String(), "\x1b\r") {
		t.Error("control characters in a pipe")
	}
}

func TestTerminalGetsABarThatGivesWayToTheEpochsLine(t *testing.T) {
	for _, noColor := range []bool{false, true} {
		var out strings.Builder
		clock := &at{}
		train(t, NewTerminal(&out, TerminalOptions{TTY: true, NoColor: noColor, Now: clock.now}), clock)
		s := out.String()
		for _, want := range []string{
			"\r", "█", "50%", "epoch 1/2 step 3/6 loss 0.6111 top-1 10.00 % eta 36s",
			"\x1b[2K\repoch 1/2 done: ", "\x1b[2K\repoch 2/2 done: ", "\ndone: best top-1 90.00 %",
		} {
			if !strings.Contains(s, want) {
				t.Errorf("no colour %v: %q is missing in %q", noColor, want, s)
			}
		}
		if _, second, _ := strings.Cut(s, "epoch 1/2 done"); !strings.Contains(second, "  50% ") {
			t.Errorf("no colour %v: the second epoch has no bar of its own: %q", noColor, s)
		}
		if coloured := strings.Contains(s, "\x1b[32m"); coloured == noColor {
			t.Errorf("no colour %v, but coloured %v", noColor, coloured)
		}
		if noColor && (strings.Contains(s, "\x1b[0m") || strings.Contains(s, "[green]")) {
			t.Errorf("colour codes without colour: %q", s)
		}
	}
}

func TestLastStepIsShownAtOnceAndTheTimeBetweenEpochsCounts(t *testing.T) {
	var out strings.Builder
	clock := &at{}
	s := NewTerminal(&out, TerminalOptions{Now: clock.now})
	if err := s.Start(Run{Epochs: 3, BatchesPerEpoch: 1}); err != nil {
		t.Fatal(err)
	}
	for e := 1; e <= 3; e++ { // each a step of 4 s and 2 s of evaluation
		if err := s.Step(Step{Epoch: e, Step: 1, GlobalStep: e, StepTime: 4 * time.Second}); err != nil {
			t.Fatal(err)
		}
		if err := s.Epoch(Epoch{Epoch: e, Duration: 6 * time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	var etas []string
	for line := range strings.Lines(out.String()) {
		if _, eta, ok := strings.Cut(line, " eta "); ok {
			etas = append(etas, strings.TrimSpace(eta))
		}
	}
	equal(t, "etas", etas, "8s", "8s", "2s")
}

func TestTerminalThrottlesDrawing(t *testing.T) {
	var out strings.Builder
	clock := &at{}
	s := NewTerminal(&out, TerminalOptions{TTY: true, NoColor: true, Now: clock.now})
	if err := s.Start(fashion); err != nil {
		t.Fatal(err)
	}
	before := out.Len()
	clock.Time = clock.Add(redrawEvery - time.Millisecond)
	step := Step{Epoch: 1, Step: 1, GlobalStep: 1, Images: 100, Loss: 1}
	if err := s.Step(step); err != nil || out.Len() != before {
		t.Errorf("drew too early (error %v)", err)
	}
	clock.Time = clock.Add(time.Millisecond)
	if err := s.Step(step); err != nil || out.Len() == before {
		t.Errorf("did not draw (error %v)", err)
	}
}

func TestCloseEndsTheLineOfAnInterruptedEpoch(t *testing.T) {
	var out strings.Builder
	clock := &at{}
	s := NewTerminal(&out, TerminalOptions{TTY: true, Now: clock.now})
	if err := s.Start(fashion); err != nil {
		t.Fatal(err)
	}
	clock.Time = clock.Add(time.Second)
	if err := s.Step(Step{Epoch: 1, Step: 1, GlobalStep: 1, Images: 100, Loss: 1, StepTime: time.Second}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out.String(), "\n") || !strings.Contains(out.String(), "step 1/6") {
		t.Errorf("the line is not ended: %q", out.String())
	}
}

func TestTerminalTellsWhereARunGoesOnAndWhatWasSkipped(t *testing.T) {
	var out strings.Builder
	clock := &at{}
	s := NewTerminal(&out, TerminalOptions{Now: clock.now})
	run := fashion
	run.StartStep = 8
	if err := s.Start(run); err != nil {
		t.Fatal(err)
	}
	for i, loss := range []float64{math.NaN(), 0.5} {
		clock.Time = clock.Add(lineEvery)
		if err := s.Step(Step{Epoch: 2, Step: 3 + i, GlobalStep: 9 + i, Images: 100, Loss: loss, Top1: 60 * float64(i), StepTime: lineEvery}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Epoch(Epoch{Epoch: 2}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"resumed at epoch 2 step 3\n", "loss NaN top-1 NaN % ", "loss 0.5000 top-1 60.00 % lr 0 10 img/s data 0 % eta 20s skipped 1\n",
		"skipped 1 steps whose loss or gradients were not finite\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if err := NewTerminal(&out, TerminalOptions{Now: clock.now}).Start(Run{}); err == nil {
		t.Error("a run without batches is no error")
	}
}

func TestTerminalShowsWhatTheGPUDoes(t *testing.T) {
	var out strings.Builder
	clock := &at{}
	s := NewTerminal(&out, TerminalOptions{Now: clock.now})
	if err := s.Start(fashion); err != nil {
		t.Fatal(err)
	}
	clock.Time = clock.Add(lineEvery)
	if err := s.Step(Step{Epoch: 1, Step: 1, GlobalStep: 1, Images: 100, Loss: 1, StepTime: time.Second, GPU: GPU{97, 23 << 30}}); err != nil {
		t.Fatal(err)
	}
	if want := " data 0 % gpu 97 % 23.00 GiB eta 11s\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("have %q, want an end of %q", out.String(), want)
	}
}

func TestRecentMeansWeighImagesAndForgetOldSteps(t *testing.T) {
	var r recent
	r.add(Step{Images: 1000, Loss: 9, Top1: 1})
	for range 99 {
		r.add(Step{Images: 1, Loss: 1, Top1: 50, StepTime: time.Second})
	}
	r.add(Step{Images: 99, Loss: 3, Top1: 100, StepTime: time.Second, DataWait: time.Second})
	m := r.mean()
	want := means{loss: 2, top1: 75, speed: 1.98, data: 1, stepTime: time.Second}
	if m != want {
		t.Errorf("have %+v, want %+v", m, want)
	}
}

func TestNarrowTerminalsKeepTheMostImportantParts(t *testing.T) {
	if have := fit(14, "epoch 1/5", "", "loss 2", "top-1 3 %"); have != "epoch 1/5" {
		t.Errorf("have %q", have)
	}
	if have := fit(16, "epoch 1/5", "", "loss 2", "top-1 3 %"); have != "epoch 1/5 loss 2" {
		t.Errorf("have %q", have)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if n := columns(f); n != 80 {
		t.Errorf("a file is %d columns wide, want 80", n)
	}
}

func TestTheCommandToEvaluateIsOneForAShell(t *testing.T) {
	for path, want := range map[string]string{
		"runs/a b/best": "--checkpoint 'runs/a b/best' --report 'runs/a b/report.html'\n",
		"it's/best":     `--checkpoint 'it'\''s/best' --report 'it'\''s/report.html'` + "\n",
		"$HOME/best":    "--checkpoint '$HOME/best' --report '$HOME/report.html'\n",
		"":              "peak memory 0 B\n",
	} {
		var out strings.Builder
		err := NewTerminal(&out, TerminalOptions{}).Finish(Summary{Checkpoint: path})
		if err != nil || !strings.HasSuffix(out.String(), want) {
			t.Errorf("%q: have %q (error %v), want an end of %q", path, out.String(), err, want)
		}
	}
}
