package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	lineEvery   = 10 * time.Second       // between progress lines in a pipe
	redrawEvery = 100 * time.Millisecond // between two draws of the progress bar
	barWidth    = 20                     // characters
	minBarWidth = 8                      // the least that is left of it on a narrow terminal
	barFrame    = 11                     // the bar's borders and percentage, and a column to spare
)

// TerminalOptions say what the terminal sink writes to.
type TerminalOptions struct {
	TTY     bool             // draw a progress bar; otherwise write plain lines
	NoColor bool             // draw it without colour
	Now     func() time.Time // the clock
}

// Terminal shows a run to people: a progress bar on a terminal, plain lines in a pipe.
type Terminal struct {
	w       io.Writer
	options TerminalOptions
	run     Run
	bar     *progressbar.ProgressBar // of the running epoch, or nil
	shown   time.Time                // when progress was last shown
	recent  recent
	skipped int           // steps of this epoch whose loss was not finite
	trained time.Duration // steps of this epoch
	between time.Duration // the last epoch's evaluation and saving
}

// NewTerminal returns a sink that writes to w, which it does not close.
func NewTerminal(w io.Writer, o TerminalOptions) *Terminal {
	return &Terminal{w: w, options: o}
}

// Start writes what is trained on what.
func (t *Terminal) Start(r Run) error {
	if r.BatchesPerEpoch < 1 {
		return fmt.Errorf("terminal: a run of %d batches per epoch, want at least 1", r.BatchesPerEpoch)
	}
	t.run, t.shown = r, t.options.Now()
	resumed := ""
	if r.StartStep > 0 {
		resumed = fmt.Sprintf("resumed at epoch %d step %d\n", r.StartStep/r.BatchesPerEpoch+1, r.StartStep%r.BatchesPerEpoch+1)
	}
	_, err := fmt.Fprintf(t.w, "%s, %s parameters, planned memory %s, on %s\n%s: %s train and %s val images, %d epochs of %d steps, batch %d\n%s",
		r.Model, Thousands(r.Params), FormatBytes(r.PlannedBytes), r.Device,
		r.Data, Thousands(int64(r.TrainImages)), Thousands(int64(r.ValImages)), r.Epochs, r.BatchesPerEpoch, r.BatchSize, resumed)
	return err
}

// Step shows the step if it is time to, and the last step of an epoch in any case.
func (t *Terminal) Step(s Step) error {
	t.recent.add(s)
	t.trained += s.StepTime
	if !finite(s.Loss) {
		t.skipped++
	}
	every := lineEvery
	if t.options.TTY {
		every = redrawEvery
	}
	now := t.options.Now()
	if now.Sub(t.shown) < every && s.Step < t.run.BatchesPerEpoch {
		return nil
	}
	t.shown = now
	return t.show(t.progress(s), s.Step)
}

// progress is what is shown of a running epoch, as text.
type progress struct {
	epoch, step, loss, top1, lr, speed, data, gpu, eta, skipped string
}

func (t *Terminal) progress(s Step) progress {
	m := t.recent.mean()
	p := progress{
		epoch: fmt.Sprintf("epoch %d/%d", s.Epoch, t.run.Epochs),
		step:  fmt.Sprintf("step %d/%d", s.Step, t.run.BatchesPerEpoch),
		loss:  fmt.Sprintf("loss %.4f", m.loss),
		top1:  fmt.Sprintf("top-1 %.2f %%", m.top1),
		lr:    fmt.Sprintf("lr %.4g", s.LR),
		speed: fmt.Sprintf("%.0f img/s", m.speed),
		data:  fmt.Sprintf("data %.0f %%", m.data),
		eta:   "eta " + t.eta(s, m.stepTime).Round(time.Second).String(),
	}
	if s.GPU.UsedBytes > 0 {
		p.gpu = fmt.Sprintf("gpu %.0f %% %s", s.GPU.Utilization, FormatBytes(s.GPU.UsedBytes))
	}
	if t.skipped > 0 {
		p.skipped = fmt.Sprintf("skipped %d", t.skipped)
	}
	return p
}

// eta is the time to the end of the run at the present pace, with as much between epochs as last time.
func (t *Terminal) eta(s Step, stepTime time.Duration) time.Duration {
	steps := t.run.Epochs*t.run.BatchesPerEpoch - s.GlobalStep
	return time.Duration(steps)*stepTime + time.Duration(t.run.Epochs-s.Epoch+1)*t.between
}

func (t *Terminal) show(p progress, step int) error {
	if !t.options.TTY {
		_, err := fmt.Fprintln(t.w, words(p.epoch, p.step, p.loss, p.top1, p.lr, p.speed, p.data, p.gpu, p.eta, p.skipped))
		return err
	}
	if t.bar == nil {
		t.bar = t.newBar()
	}
	t.bar.Describe(fit(columns(t.w)-minBarWidth-barFrame, p.epoch, p.step, p.loss, p.top1, p.eta, p.skipped, p.speed, p.data, p.gpu))
	return t.bar.Set(step)
}

// newBar makes an epoch's bar. On a terminal too narrow for it and its text, the library shrinks it.
func (t *Terminal) newBar() *progressbar.ProgressBar {
	theme := progressbar.Theme{Saucer: "█", SaucerPadding: "░"}
	if !t.options.NoColor {
		theme.Saucer = "[green]█[reset]"
	}
	return progressbar.NewOptions(t.run.BatchesPerEpoch,
		progressbar.OptionSetWriter(t.w), progressbar.OptionSetWidth(barWidth), progressbar.OptionSetTheme(theme),
		progressbar.OptionEnableColorCodes(!t.options.NoColor), progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetPredictTime(false), progressbar.OptionShowDescriptionAtLineEnd(),
	)
}

// Epoch writes the epoch's line.
func (t *Terminal) Epoch(e Epoch) error {
	clearErr := t.clear()
	best := ""
	if e.Best {
		best = ", best so far"
	}
	if t.skipped > 0 {
		best += fmt.Sprintf(", skipped %d steps whose loss or gradients were not finite", t.skipped)
	}
	_, err := fmt.Fprintf(t.w, "epoch %d/%d done: train loss %.4f top-1 %.2f %%, val loss %.4f top-1 %.2f %% top-5 %.2f %%, %.0f img/s, %s%s\n",
		e.Epoch, t.run.Epochs, e.TrainLoss, e.TrainTop1, e.ValLoss, e.ValTop1, e.ValTop5, e.ImagesPerSecond, formatDuration(e.Duration), best)
	t.between = max(e.Duration-t.trained, 0)
	t.recent, t.skipped, t.trained, t.shown = recent{}, 0, 0, t.options.Now()
	return errors.Join(clearErr, err)
}

// clear takes the bar off the terminal.
func (t *Terminal) clear() error {
	if t.bar == nil {
		return nil
	}
	err := t.bar.Clear()
	t.bar = nil
	return err
}

// Finish writes what came of the run and the command to go on with.
func (t *Terminal) Finish(s Summary) error {
	_, err := fmt.Fprintf(t.w, "done: best top-1 %.2f %% in epoch %d, took %s, peak memory %s\n",
		s.BestTop1, s.BestEpoch, formatDuration(s.Duration), FormatBytes(s.PeakBytes))
	if err != nil || s.Checkpoint == "" {
		return err
	}
	_, err = fmt.Fprintf(t.w, "checkpoint: %s\nevaluate: senet eval --checkpoint %s --report %s\n",
		s.Checkpoint, quote(s.Checkpoint), quote(filepath.Join(filepath.Dir(s.Checkpoint), "report.html")))
	return err
}

// plainWord is what a shell takes as it stands.
var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// quote writes s as a word of a shell's command line.
func quote(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Close leaves an interrupted epoch's bar on the terminal and ends its line.
func (t *Terminal) Close() error {
	if t.bar == nil {
		return nil
	}
	t.bar = nil
	_, err := fmt.Fprintln(t.w)
	return err
}

// words joins what is not empty.
func words(parts ...string) string {
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

// fit drops parts from the end until the rest fits n characters.
func fit(n int, parts ...string) string {
	for len(parts) > 1 && len(words(parts...)) > n {
		parts = parts[:len(parts)-1]
	}
	return words(parts...)
}

// columns is the width of the terminal w, 80 if it cannot be told.
func columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 80
}
