package cli

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"senet/internal/checkpoint"
)

// playMain makes the test binary play senet with its own arguments, as the ranks do that a test's senet starts.
const playMain = "SENET_TEST_MAIN"

// withMPI puts a kind of MPI, of which the tests' is in .deps/mpi, into the environment.
func withMPI(t *testing.T, kind string) {
	t.Helper()
	root, err := filepath.Abs("../../.deps/mpi/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "bin/mpirun")); err != nil {
		t.Fatalf("%v: scripts/deps.sh mpi installs it", err)
	}
	t.Setenv("PATH", filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	t.Setenv("LD_LIBRARY_PATH", filepath.Join(root, "lib"))
	for _, name := range []string{"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "PRTE_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM", playMain} {
		t.Setenv(name, "1")
	}
}

// text is what a process has written, for many goroutines.
type text struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (w *text) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes.Write(p)
}

func (w *text) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes.String()
}

// process is a senet, or a program that starts some, that runs on its own.
type process struct {
	*exec.Cmd
	out, err text
	jobs     string // where Launch keeps the folders of its jobs
}

func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	p := &process{Cmd: exec.CommandContext(ctx, program, args...), jobs: t.TempDir()}
	p.Env = append(os.Environ(), "TMPDIR="+p.jobs)
	p.Stdout, p.Stderr = &p.out, &p.err
	p.WaitDelay = 5 * time.Second
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// end waits for the end.
func (p *process) end() outcome {
	_ = p.Wait() // the state says more
	return outcome{p.ProcessState.ExitCode(), p.out.String(), p.err.String()}
}

// kill sends SIGKILL to a rank that is running, and reports whether there was one.
func (p *process) kill(rank int) bool {
	files, _ := filepath.Glob(filepath.Join(p.jobs, "senet-job-*", fmt.Sprintf("%d.pid", rank)))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if pid, convErr := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && convErr == nil {
			return syscall.Kill(pid, syscall.SIGKILL) == nil
		}
	}
	return false
}

// ranksTrain is a command line that trains on the CPU for so many epochs, 4 updates each.
func (f fixture) ranksTrain(dir string, epochs int, more ...string) []string {
	return f.train(dir, append([]string{"--set", fmt.Sprint("train.epochs=", epochs), "--set", "train.accumulate=2", "--set", "threads=0"}, more...)...)
}

// waitFor returns once it is so, or fails the test.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// TestRanksTrainAsOneProcess: through either MPI, two ranks that senet starts see the same losses as one process.
func TestRanksTrainAsOneProcess(t *testing.T) {
	f := newFixture(t)
	alone := filepath.Join(t.TempDir(), "run")
	senet(f.ranksTrain(alone, 2)...).want(t, 0)
	want := readMetrics(t, alone)
	for _, kind := range []string{"openmpi", "mpich"} {
		t.Run(kind, func(t *testing.T) {
			withMPI(t, kind)
			dir := filepath.Join(t.TempDir(), "run")
			p := start(t, os.Args[0], f.ranksTrain(dir, 2, "--nproc", "2")...)
			o := p.end()
			o.want(t, 0)
			if n := strings.Count(o.out, "epoch 2/2 done"); n != 1 || o.err != "" {
				t.Errorf("the end of an epoch is told %d times; stderr %q", n, o.err)
			}
			have := readMetrics(t, dir)
			if len(have.Steps) != len(want.Steps)/2 || len(have.Epochs) != 2 {
				t.Fatalf("%d steps, %d epochs", len(have.Steps), len(have.Epochs))
			}
			for i, s := range have.Steps {
				loss := (want.Steps[2*i].Loss + want.Steps[2*i+1].Loss) / 2
				if !(math.Abs(s.Loss-loss) <= 1e-4*loss) || s.GlobalStep != 2*i+2 || s.Images != 16 {
					t.Errorf("step %+v, want loss %v", s, loss)
				}
			}
		})
	}
}

// TestLostRanksAreReplaced: a rank is killed at three moments; the job goes on each time, and ends with the bits of one that was left alone.
func TestLostRanksAreReplaced(t *testing.T) {
	f := newFixture(t)
	withMPI(t, "openmpi")
	const epochs = 6
	unbroken, dir := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "run")
	start(t, os.Args[0], f.ranksTrain(unbroken, epochs, "--nproc", "2")...).end().want(t, 0)
	p := start(t, os.Args[0], f.ranksTrain(dir, epochs, "--nproc", "2", "--max-restarts", "3")...)
	for i, rank := range []int{1, 0, 1} {
		saved := filepath.Join(dir, fmt.Sprintf("epoch-%04d", 1+i), "manifest.json")
		waitFor(t, saved, func() bool { _, err := os.Stat(saved); return err == nil })
		waitFor(t, "kill", func() bool { return p.kill(rank) })
		waitFor(t, "restart", func() bool { return strings.Contains(p.err.String(), fmt.Sprintf("restart %d of 3", i+1)) })
	}
	o := p.end()
	o.want(t, 0, "senet: rank 1 on ", "senet: rank 0 on ", "was ended by signal 9 (killed) after step ", "; restart 3 of 3", "resuming ")
	sameCheckpoints(t, filepath.Join(dir, "last"), filepath.Join(unbroken, "last"))
}

// sameCheckpoints compares tensors to the bit.
func sameCheckpoints(t *testing.T, a, b string) {
	t.Helper()
	have, err := checkpoint.Load(a)
	if err != nil {
		t.Fatal(err)
	}
	want, err := checkpoint.Load(b)
	if err != nil {
		t.Fatal(err)
	}
	if have.Manifest.GlobalStep != want.Manifest.GlobalStep || len(have.Model) != len(want.Model) || len(want.Model) == 0 {
		t.Fatalf("%s and %s are of other runs", a, b)
	}
	for name, x := range want.Model {
		if !slices.Equal(have.Model[name].Float32s(), x.Float32s()) {
			t.Errorf("%q differs", name)
		}
	}
	for name, x := range want.Optimizer {
		if !slices.Equal(have.Optimizer[name].Float32s(), x.Float32s()) {
			t.Errorf("%q differs", name)
		}
	}
}

// TestSignalStopsAllRanks: with one checkpoint at the end of an update, from which one process can go on.
func TestSignalStopsAllRanks(t *testing.T) {
	f := newFixture(t)
	withMPI(t, "openmpi")
	dir := filepath.Join(t.TempDir(), "run")
	p := start(t, os.Args[0], f.ranksTrain(dir, 1000, "--nproc", "2", "--max-restarts", "3")...)
	waitFor(t, "first epoch", func() bool { _, err := os.Stat(filepath.Join(dir, "epoch-0001")); return err == nil })
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	o := p.end()
	o.want(t, 143, "stopped on request; saved "+dir, "[rank 1] senet: rank 1 on ")
	if strings.Contains(o.err, "restart") {
		t.Errorf("stderr: %s", o.err)
	}
	saved, err := checkpoint.Load(filepath.Join(dir, "last"))
	if err != nil || saved.Manifest.Batch%2 != 0 {
		t.Fatalf("%v, batch %d", err, saved.Manifest.Batch)
	}
	o = senet(f.ranksTrain(dir, saved.Manifest.Epoch+1, "--resume", "auto", "--force-config")...)
	o.want(t, 0, fmt.Sprintf("after %d epochs and %d steps", saved.Manifest.Epoch, saved.Manifest.Batch))
}

// TestASingleProcessIsSupervised: as ranks are, and without MPI.
func TestASingleProcessIsSupervised(t *testing.T) {
	f := newFixture(t)
	t.Setenv(playMain, "1")
	dir := filepath.Join(t.TempDir(), "run")
	p := start(t, os.Args[0], f.ranksTrain(dir, 4, "--nproc", "1", "--max-restarts", "1")...)
	waitFor(t, "first epoch", func() bool { _, err := os.Stat(filepath.Join(dir, "epoch-0001")); return err == nil })
	var children []int
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		for _, pid := range strings.Fields(readFile(t, task)) {
			n, _ := strconv.Atoi(pid)
			children = append(children, n)
		}
	}
	if len(children) != 1 {
		t.Fatalf("children %v, want one", children)
	}
	if err := syscall.Kill(children[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.end().want(t, 0, "was ended by signal 9 (killed) after step ", "restart 1 of 1", "resuming ")
}

// TestARankWithAnotherConfigIsNamed: by every rank, as a wrong config.
func TestARankWithAnotherConfigIsNamed(t *testing.T) {
	f := newFixture(t)
	withMPI(t, "openmpi")
	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"--host", "localhost:2", "--bind-to", "none", "-n", "1", os.Args[0]}
	args = append(args, f.ranksTrain(dir, 1)...)
	args = append(append(args, ":", "-n", "1", os.Args[0]), f.ranksTrain(dir, 1, "--set", "train.lr=0.03")...)
	o := start(t, "mpirun", args...).end()
	if o.code != 2 || !strings.Contains(o.err, "ranks disagree: rank 1 on ") || !strings.Contains(o.err, `config key train.lr "0.03"`) {
		t.Errorf("exit code %d, want 2, stderr:\n%s", o.code, o.err)
	}
	if _, err := os.Stat(filepath.Join(dir, "epoch-0001")); err == nil {
		t.Error("it has trained all the same")
	}
}

// TestNprocIsRefused: where ranks cannot be started so, with what to do instead.
func TestNprocIsRefused(t *testing.T) {
	f := newFixture(t)
	dir := filepath.Join(t.TempDir(), "run")
	for _, c := range []struct {
		args, env []string
		code      int
		want      string
	}{
		{[]string{"--nproc", "many"}, nil, 2, "want a number or auto"},
		{[]string{"--nproc", "3"}, nil, 2, "train.batch_size 8 with train.accumulate 2 cannot be shared equally by 3 ranks"},
		{[]string{"--nproc", "2", "--device", "cuda:1"}, nil, 2, "want device cuda, of which each rank takes its own"},
		{[]string{"--nproc", "2"}, []string{"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=localhost", "MASTER_PORT=1"}, 2, "already one of 2, started by torchrun"},
		{nil, []string{"RANK=2", "WORLD_SIZE=2", "MASTER_ADDR=localhost", "MASTER_PORT=1"}, 2, "RANK=2: want less than WORLD_SIZE=2"},
		{nil, []string{"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=localhost", "MASTER_PORT=1", "LD_LIBRARY_PATH=/none"}, 4, "MPI"},
		{[]string{"--nproc", "2"}, []string{"PATH=/none"}, 4, "there is no mpirun in PATH"},
	} {
		t.Run(strings.Join(append(c.args, c.env...), " "), func(t *testing.T) {
			for _, e := range c.env {
				name, value, _ := strings.Cut(e, "=")
				t.Setenv(name, value)
			}
			senet(f.ranksTrain(dir, 1, c.args...)...).want(t, c.code, c.want)
		})
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the run's folder was made")
	}
}
