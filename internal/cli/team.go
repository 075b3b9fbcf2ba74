package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"senet/internal/backend"
	"senet/internal/config"
	"senet/internal/cuda"
	"senet/internal/data"
	"senet/internal/dist"
)

// lostGrace is how long this rank may take to end by itself once another one is gone; a GPU's sum may wait for it for ever.
const lostGrace = 5 * time.Second

// team is the place of this process among the ranks of a training.
type team struct {
	dist.World
	device string       // cpu, or the GPU of this rank
	group  dist.Group   // nil for a process alone
	mpi    *dist.MPI    // group, where the device is the CPU
	status *dist.Status // nil unless senet started the ranks
}

// joinTeam waits for the other ranks that the environment tells of. From then on, an end of this process that the others do not
// expect ends them too.
func (d *deps) joinTeam(ctx context.Context, device string) (*team, error) {
	world, err := dist.FromEnv(os.Getenv)
	if err != nil {
		return nil, err
	}
	t := &team{World: world, device: device}
	if t.status, err = dist.OpenStatus(os.Getenv, world); err != nil || world.Size == 1 {
		return t, err
	}
	t.device = t.ownDevice(device)
	if t.device == "cpu" {
		t.mpi, err = dist.OpenMPI(ctx, world)
		t.group = t.mpi
	} else {
		t.group, err = dist.Join(ctx, world)
	}
	if err != nil {
		return nil, t.named(err)
	}
	d.atExit = t.abandon
	go t.endWhenLost(d)
	kind, _, _ := strings.Cut(t.device, ":")
	if err := dist.Agree(t.group, map[string]string{"kind of device": kind}); err != nil {
		return nil, t.named(err)
	}
	return t, t.named(t.shareCores())
}

// ownDevice makes a CPU or GPU of auto, and of cuda the GPU of this rank: that of its number on the host, or the only one that
// it sees.
func (t *team) ownDevice(device string) string {
	if device != "auto" && device != "cuda" {
		return device
	}
	found := cuda.Probe()
	switch {
	case device == "auto" && firstUsable(found) < 0:
		return "cpu"
	case len(found.Devices) == 1:
		return "cuda:0"
	}
	return fmt.Sprintf("cuda:%d", t.LocalRank)
}

// uniqueID is NCCL's name for the job, which the first rank makes.
func (t *team) uniqueID() ([]byte, error) {
	var id []byte
	var err error
	if t.first() {
		if id, err = cuda.NewUniqueID(); err != nil { // the others notice that this rank is gone
			return nil, fmt.Errorf("%w: %w", backend.ErrNoDevice, err)
		}
	}
	all, err := t.group.Gather(id)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// leave ends the membership of a rank at a point that all ranks come to.
func (t *team) leave(d *deps) error {
	if t.group == nil {
		return nil
	}
	d.atExit = nil
	return errors.Join(t.group.Close(), t.status.Close())
}

// abandon ends the membership at any other point. The other ranks, which may be waiting for this one, end too: without MPI they
// find that it is gone.
func (t *team) abandon(code int) {
	if t.mpi != nil {
		_ = t.mpi.Abort(code) // where it fails, the launcher ends the ranks
	}
}

// endWhenLost ends this process some time after another rank is gone.
func (t *team) endWhenLost(d *deps) {
	if err, ok := <-dist.Lost(t.group); ok {
		time.Sleep(lostGrace)
		fmt.Fprintf(d.Err, "senet: %v\n", t.named(err))
		d.exit(exitLost)
	}
}

// first reports whether this process is the one that shows and saves.
func (t *team) first() bool { return t.Rank == 0 }

// named says in an error of another rank than the first which one it comes from.
func (t *team) named(err error) error {
	if err == nil || t.first() {
		return err
	}
	return fmt.Errorf("rank %d on %s: %w", t.Rank, t.Host, err)
}

// shareCores limits computing and loading to this rank's share of the cores. Ranks on one host that may run on the same ones
// divide them; those that were bound to different ones keep their own, and GOMAXPROCS in the environment is obeyed.
func (t *team) shareCores() error {
	var cores unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cores); err != nil {
		return fmt.Errorf("cores of this process: %w", err)
	}
	mine := fmt.Sprint(t.Host, cores)
	all, err := t.group.Gather([]byte(mine))
	if err != nil {
		return err
	}
	sharing := 0
	for _, other := range all {
		if string(other) == mine {
			sharing++
		}
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/sharing))
	}
	return nil
}

// facts are what must be the same on all ranks, beside what train compares itself.
func (t *team) facts(b backend.Backend, sets [2]data.Source) (map[string]string, error) {
	if t.group == nil {
		return nil, nil
	}
	program, err := programDigest()
	if err != nil {
		return nil, err
	}
	facts := map[string]string{"version of senet": Version, "program of senet": program, "device": deviceKind(b)}
	for i, name := range []string{"training images", "test images"} {
		digest, err := data.Digest(sets[i])
		if err != nil {
			return nil, err
		}
		facts[name] = fmt.Sprintf("%d in %d classes, digest %s", sets[i].Len(), len(sets[i].Classes()), digest)
	}
	return facts, nil
}

// programDigest tells builds apart that have the same version.
func programDigest() (_ string, err error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}

// deviceKind is what devices must have in common to keep the same parameters to the bit: of CPUs the instruction set and the
// library, of GPUs all but the number.
func deviceKind(b backend.Backend) string {
	text := b.Describe()
	if b.Name() != "cpu" {
		_, text, _ = strings.Cut(text, ": ")
		return text
	}
	parts := strings.Split(text, ", ") // processor, instruction set, threads, library
	n := len(parts)
	return "cpu, " + parts[max(0, n-3)] + ", " + parts[n-1]
}

// watch returns what training calls after each step and each batch of an evaluation, with the steps done, and what ends the
// watch. A training that hangs ends with its stacks on stderr.
func (t *team) watch(d *deps, minutes float64) (beat func(steps int), stop func()) {
	limit := time.Duration(minutes * float64(time.Minute))
	dog := dist.NewWatchdog(limit, d.Err, func() {
		fmt.Fprintf(d.Err, "senet: %v\n", t.named(fmt.Errorf("no step has ended for %v (train.watchdog)", limit)))
		d.exit(exitLost)
	})
	return func(steps int) {
		dog.Beat()
		t.status.Step(int64(steps))
	}, dog.Stop
}

// openBackend opens the device of this rank.
func (t *team) openBackend(d *deps, cfg config.Config) (backend.Backend, error) {
	o := deviceOptions{device: cfg.Device, threads: cfg.Threads, precision: cfg.Precision, measure: true}
	if t.group != nil {
		o.team = t
	}
	b, note, err := d.open(o)
	if err == nil && note != "" && t.first() {
		d.notef("%s", note)
	}
	return b, err
}

// notef tells the user what is worth a line, and which rank it comes from where that is not the first.
func (t *team) notef(d *deps) func(format string, args ...any) {
	if t.first() {
		return d.notef
	}
	return func(format string, args ...any) { d.notef("rank %d: %s", t.Rank, fmt.Sprintf(format, args...)) }
}
