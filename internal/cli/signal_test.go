package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/graph"
)

// hookedWriter calls before at every write, and gathers what is written.
type hookedWriter struct {
	text   bytes.Buffer
	before func()
}

func (w *hookedWriter) Write(p []byte) (int, error) {
	w.before()
	return w.text.Write(p)
}

func sendOnce(sig syscall.Signal) func() {
	return sync.OnceFunc(func() {
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			panic(err)
		}
	})
}

// TestSignalStopsTraining: at a signal the running training saves a checkpoint, names it and exits
// with 128 and the signal's number; --resume auto goes on at the next step.
func TestSignalStopsTraining(t *testing.T) {
	f := newFixture(t)
	for sig, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			out := &hookedWriter{before: sendOnce(sig)}
			// The first write comes before the first step; so many epochs would take minutes.
			o := run(deps{Streams: Streams{Out: out}}, f.train(dir, "--set", "train.epochs=1000")...)
			o.want(t, code, "stopped on request; saved "+dir)
			if strings.Contains(out.text.String(), "done: ") {
				t.Errorf("stdout: %s", out.text.String())
			}
			saved, err := checkpoint.Load(filepath.Join(dir, "last"))
			if err != nil {
				t.Fatal(err)
			}
			at := saved.Manifest
			o = senet(f.train(dir, "--set", fmt.Sprintf("train.epochs=%d", at.Epoch+1), "--resume", "auto", "--force-config")...)
			o.want(t, 0, fmt.Sprintf("after %d epochs and %d steps", at.Epoch, at.Batch))
			m := readMetrics(t, dir)
			for i, s := range m.Steps {
				if s.GlobalStep != i+1 {
					t.Fatalf("metrics.jsonl: step %d is recorded as number %d", s.GlobalStep, i+1)
				}
			}
			if m.Run.StartStep != at.GlobalStep || len(m.Steps) != 8*(at.Epoch+1) || m.Finish == nil {
				t.Errorf("resumed at step %d, %d steps recorded, finish %v; stopped at step %d in epoch %d", m.Run.StartStep, len(m.Steps), m.Finish, at.GlobalStep, at.Epoch+1)
			}
		})
	}
}

// TestSignalInterruptsAStartThatHangs: a data set that cannot be opened, here a pipe that nobody writes to, holds up no exit.
func TestSignalInterruptsAStartThatHangs(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	for _, name := range []string{"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	time.AfterFunc(time.Second, sendOnce(syscall.SIGTERM)) // which is long since waited for, however busy the machine
	start := time.Now()
	o := senet(f.train(filepath.Join(dir, "run"), "--set", "data.dir="+dir)...)
	o.want(t, 143)
	if took := time.Since(start); o.err != "senet: interrupted\n" || took > 5*time.Second {
		t.Errorf("stderr %q after %v", o.err, took)
	}
}

// hooked tells of every run of a phase.
type hooked struct {
	backend.Backend
	before func()
}

type hookedExecutable struct {
	backend.Executable
	before func()
}

func (b hooked) Compile(p *graph.Program) (backend.Executable, error) {
	exe, err := b.Backend.Compile(p)
	return hookedExecutable{exe, b.before}, err
}

func (e hookedExecutable) Run(ph graph.Phase) error {
	e.before()
	return e.Executable.Run(ph)
}

// TestSignalInterruptsEvalAndPredict: they have nothing to save, and stop with one line and no result.
func TestSignalInterruptsEvalAndPredict(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "a.png")
	writePNG(t, path, picture(0, 0))
	predict := []string{"predict", "--json", "--checkpoint", f.best()}
	for range 100 {
		predict = append(predict, path)
	}
	for _, args := range [][]string{{"eval", "--json", "--checkpoint", f.best(), "--set", "eval.batch_size=1"}, predict} {
		send := sendOnce(syscall.SIGTERM)
		o := run(deps{open: func(o deviceOptions) (backend.Backend, string, error) {
			b, note, err := openDevice(o)
			return hooked{b, func() {
				send()
				time.Sleep(20 * time.Millisecond) // many such runs are more than a signal needs to come through
			}}, note, err
		}}, args...)
		o.want(t, 143)
		if o.err != "senet: interrupted\n" || o.out != "" {
			t.Errorf("%s: stdout %q, stderr %q", args[0], o.out, o.err)
		}
	}
}

// The environment that makes the test binary play senet in a process of its own.
const (
	childMode   = "SENET_TEST_CHILD"
	childConfig = "SENET_TEST_CONFIG"
)

// child plays senet: "stuck" trains on a device that hangs, "ended" has run a command to its end.
func child(mode, config string) int {
	if mode == "stuck" {
		streams := Streams{Out: io.Discard, Err: os.Stderr} // stdout says when the device hangs: before that, one signal is enough
		return (&deps{Streams: streams, now: time.Now, open: func(o deviceOptions) (backend.Backend, string, error) {
			b, note, err := openDevice(o)
			return hooked{b, func() {
				fmt.Println("stuck")
				time.Sleep(time.Minute)
			}}, note, err
		}}).main([]string{"train", "--config", config, "--set", "output.dir=" + filepath.Dir(config)})
	}
	if code := Main([]string{"version"}, System()); code != 0 {
		return code
	}
	time.Sleep(time.Minute)
	return 0
}

// TestSignalEndsTheProcess: a second signal ends a command that does not react to the first, and after a command the first one does.
func TestSignalEndsTheProcess(t *testing.T) {
	f := newFixture(t)
	for _, mode := range []string{"stuck", "ended"} {
		t.Run(mode, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), childMode+"="+mode, childConfig+"="+writeFile(t, filepath.Join(t.TempDir(), "a.yaml"), readFile(t, f.config)))
			started := make(chan struct{})
			cmd.Stdout = &hookedWriter{before: sync.OnceFunc(func() { close(started) })}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() {
				<-started
				for ctx.Err() == nil { // where one signal is enough, the next finds no process
					if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			}()
			err := cmd.Wait()
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
				t.Errorf("%v, want the end by SIGTERM", err)
			}
		})
	}
}
