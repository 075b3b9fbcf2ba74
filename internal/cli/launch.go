package cli

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/cuda"
	"senet/internal/dist"
	"senet/internal/train"
)

// stopGrace is how long ranks may take to end after one of them has failed: they notice within a step.
const stopGrace = 20 * time.Second

// nprocFlag is the value of --nproc: a number of ranks, or -1 for one on each GPU.
type nprocFlag int

func (f *nprocFlag) String() string {
	if *f < 0 {
		return "auto"
	}
	return strconv.Itoa(int(*f))
}

func (f *nprocFlag) Type() string { return "number" }

func (f *nprocFlag) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if s == "auto" {
		*f = -1
		return nil
	}
	if err != nil {
		return errors.New("want a number or auto")
	}
	*f = nprocFlag(n)
	return nil
}

// endedError is how ranks that were started here have ended.
type endedError struct{ dist.Exit }

func (e *endedError) Error() string { return e.String() }

// launcher starts the ranks of a training on this machine.
type launcher struct {
	TrainOptions
	dir     string // output.dir
	ranks   int
	mpi     bool
	program string
	newest  string // checkpoint in dir at the first start
}

// newLauncher is nil where this process is to train itself.
func newLauncher(o TrainOptions, cfg config.Config) (*launcher, error) {
	l := &launcher{TrainOptions: o, dir: cfg.Output.Dir, ranks: max(1, int(o.NProc))}
	gpus := 0
	if cfg.Device != "cpu" && o.NProc != 0 && o.NProc != 1 {
		gpus = usable(cuda.Probe())
	}
	if o.NProc < 0 {
		l.ranks = max(1, gpus)
	}
	if l.ranks == 1 && o.MaxRestarts == 0 {
		return nil, nil
	}
	switch world, err := dist.FromEnv(os.Getenv); {
	case err != nil:
		return nil, err
	case world.Size > 1:
		return nil, fmt.Errorf("%w: --nproc and --max-restarts start ranks, but this process is already one of %d, started by %s", errUsage, world.Size, world.By)
	}
	if l.ranks > 1 {
		onGPU := strings.HasPrefix(cfg.Device, "cuda") || cfg.Device == "auto" && gpus > 0
		switch {
		case strings.HasPrefix(cfg.Device, "cuda:"):
			return nil, fmt.Errorf("%w: --nproc %d with device %s: want device cuda, of which each rank takes its own", errUsage, l.ranks, cfg.Device)
		case onGPU && gpus > 0 && l.ranks > gpus:
			return nil, fmt.Errorf("%w: --nproc %d: this machine has %d GPUs that can be used", errUsage, l.ranks, gpus)
		}
		l.mpi = !onGPU
	}
	if _, _, err := cfg.Train.Share(l.ranks); err != nil {
		return nil, err
	}
	var err error
	l.program, err = os.Executable()
	return l, err
}

// usable counts the GPUs that senet runs on.
func usable(d cuda.Driver) int {
	n := 0
	for _, dev := range d.Devices {
		if dev.Problem == "" {
			n++
		}
	}
	return n
}

// args are the command line of a rank.
func (l *launcher) args() []string {
	args := []string{l.program, "train", "--config", l.Config.Path}
	for _, s := range l.Config.Sets {
		args = append(args, "--set", s)
	}
	for _, f := range []struct{ name, value string }{{"--device", l.Device}, {"--precision", l.Precision}, {"--resume", l.Resume}} {
		if f.value != "" {
			args = append(args, f.name, f.value)
		}
	}
	if l.ForceConfig {
		args = append(args, "--force-config")
	}
	return args
}

// again is the command line after a crash: it goes on from what was saved since the start, or starts as before where nothing was.
func (l *launcher) again([]string) []string {
	if l.Resume == "" || newest(l.dir) != l.newest {
		l.Resume = train.ResumeAuto
	}
	return l.args()
}

// newest is the path of the newest intact checkpoint in dir, "" where there is none.
func newest(dir string) string {
	found, err := checkpoint.Newest(dir)
	if err != nil {
		return "" // the rank that reads it says what is wrong
	}
	return found.Path
}

// run starts the ranks, and again after each crash, as often as was allowed.
func (l *launcher) run(d *deps) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	d.passSignals()
	if l.Resume != "" {
		l.newest = newest(l.dir)
	}
	exit, err := dist.Supervise(dist.Job{
		Args: l.args(), Ranks: l.ranks, MPI: l.mpi, Stdout: d.Out, Stderr: d.Err, Signals: signals, Grace: stopGrace,
	}, l.MaxRestarts, l.again)
	if err != nil {
		return err
	}
	if exit.Status() != exitOK {
		return &endedError{exit}
	}
	return nil
}
