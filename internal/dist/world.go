// Package dist joins the processes of a data-parallel training, its ranks: who this rank is, small messages between the hosts,
// MPI for ranks whose values are in host memory, and starting, supervising and watching ranks.
//
//	world, err := dist.FromEnv(os.Getenv)
//	group, err := dist.Join(ctx, world)
//	defer group.Close()
//	err = dist.Agree(group, map[string]string{"data": digest})
package dist

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrEnvironment: the variables that tell a process its rank contradict each other, or some are missing.
	ErrEnvironment = errors.New("environment of a rank")
	// ErrLost: another rank of the job is gone, or never came.
	ErrLost = errors.New("lost a rank")
	// ErrDisagree: ranks of a job differ in what must be the same on all.
	ErrDisagree = errors.New("ranks disagree")
	// ErrNoMPI: there is no MPI library, or none that fits the program that started this rank.
	ErrNoMPI = errors.New("no MPI")
)

// Programs that start ranks, as World.By names them.
const (
	ByMPI      = "mpi"      // mpirun, mpiexec, or srun with a PMI
	BySlurm    = "slurm"    // srun without one
	ByTorchrun = "torchrun" // torchrun, or whatever sets its variables: senet train --nproc, or an indexed Job of Kubernetes
)

// World is the place of this process among the ranks of its job.
type World struct {
	Rank, Size int // 0 <= Rank < Size; Size is 1 where there are no other ranks
	LocalRank  int // counted on this host
	LocalSize  int // ranks on this host, at least those known of
	Host       string
	Master     string // host:port at which rank 0 listens for the others; "" where only MPI joins the ranks
	Job        string // what else tells the job from others that meet there, such as Slurm's number of it
	By         string // what started the ranks: ByMPI, BySlurm, ByTorchrun, or "" for a process alone
}

// launcher is the names of the variables that one kind of launcher sets for each rank.
type launcher struct {
	by                               string
	rank, size, localRank, localSize string
}

var (
	torchrun = launcher{ByTorchrun, "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}
	openMPI  = launcher{ByMPI, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"}
	hydra    = launcher{ByMPI, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"} // of MPICH and Intel MPI
	slurm    = launcher{BySlurm, "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", ""}
	// Each pod of an indexed Job is a host; the manifest sets WORLD_SIZE.
	kubernetes = launcher{ByTorchrun, "JOB_COMPLETION_INDEX", "WORLD_SIZE", "", ""}
)

// FromEnv reads the variables that torchrun, Slurm's srun, the launchers of MPI or a Kubernetes Job set for each rank. Size is 1
// where none of them did. An error wraps ErrEnvironment and names the variable.
func FromEnv(getenv func(string) string) (World, error) {
	w, err := environment(getenv).world()
	if err != nil {
		return World{}, fmt.Errorf("%w: %w", ErrEnvironment, err)
	}
	if w.Host, err = os.Hostname(); err != nil {
		return World{}, fmt.Errorf("name of this host: %w", err)
	}
	return w, nil
}

// environment looks up a variable; one that is not set is empty.
type environment func(string) string

// world follows the launcher that is closest to this process: within a job of Slurm there may be mpirun or torchrun.
func (env environment) world() (World, error) {
	var found []World
	var names []string
	for _, l := range env.launchers() {
		w, err := env.read(l)
		if err != nil {
			return World{}, err
		}
		found, names = append(found, w), append(names, l.rank)
	}
	if len(found) == 0 {
		if env("PMIX_RANK") != "" {
			return World{}, errors.New("PMIX_RANK is set, and no variable that tells the number of ranks, such as OMPI_COMM_WORLD_SIZE")
		}
		return World{Size: 1, LocalSize: 1}, nil
	}
	w := found[0]
	for i, other := range found {
		if other.Rank != w.Rank || other.Size != w.Size {
			return World{}, fmt.Errorf("%s makes this rank %d of %d, %s makes it %d of %d", names[0], w.Rank, w.Size, names[i], other.Rank, other.Size)
		}
	}
	if w.Size == 1 {
		return World{Size: 1, LocalSize: 1}, nil
	}
	return env.meet(w)
}

// launchers are those that have set variables, the one to follow first.
func (env environment) launchers() []launcher {
	var ls []launcher
	for _, l := range []launcher{openMPI, hydra} {
		if env(l.rank) != "" || env(l.size) != "" {
			ls = append(ls, l)
		}
	}
	switch {
	case env(torchrun.rank) != "":
		ls = append(ls, torchrun)
	case env(torchrun.size) != "" && env(kubernetes.rank) != "" && len(ls) == 0:
		ls = append(ls, kubernetes)
	case env(torchrun.size) != "" && len(ls) == 0:
		ls = append(ls, torchrun) // RANK is missing
	}
	s, ok := env.slurm()
	// srun sets PMI's variables too.
	also := len(ls) == 1 && ls[0] == hydra && env(hydra.rank) == env(s.rank) && env(hydra.size) == env(s.size)
	if ok && (len(ls) == 0 || also) {
		return []launcher{s}
	}
	return ls
}

// slurm is where srun started this process. A batch script that runs outside of srun has rank 0's variables as well.
func (env environment) slurm() (launcher, bool) {
	step := env("SLURM_STEP_ID") != ""
	if env(slurm.rank) == "" || env("ENVIRONMENT") == "BATCH" && !step {
		return launcher{}, false
	}
	l := slurm
	if env("SLURM_STEP_NUM_TASKS") != "" {
		l.size = "SLURM_STEP_NUM_TASKS"
	}
	return l, true
}

// read is the place that a launcher's variables tell.
func (env environment) read(l launcher) (World, error) {
	w := World{By: l.by, LocalSize: -1}
	for _, v := range []struct {
		name     string
		to       *int
		needed   bool
		smallest int
	}{{l.rank, &w.Rank, true, 0}, {l.size, &w.Size, true, 1}, {l.localRank, &w.LocalRank, false, 0}, {l.localSize, &w.LocalSize, false, 1}} {
		text := env(v.name)
		if v.name == "" || text == "" {
			if v.needed {
				return World{}, fmt.Errorf("%s is not set, but %s is", v.name, l.other(v.name))
			}
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < v.smallest || n > maxRanks {
			return World{}, fmt.Errorf("%s=%q: want an integer in [%d, %d]", v.name, text, v.smallest, maxRanks)
		}
		*v.to = n
	}
	if l.by == BySlurm {
		w.LocalSize = max(tasksOnNode(env("SLURM_STEP_TASKS_PER_NODE"), env("SLURM_NODEID")), w.LocalRank+1)
	}
	if w.LocalSize < 0 {
		w.LocalSize = w.LocalRank + 1
	}
	switch {
	case w.Rank >= w.Size:
		return World{}, fmt.Errorf("%s=%d: want less than %s=%d", l.rank, w.Rank, l.size, w.Size)
	case w.LocalRank > w.Rank && l.by != BySlurm: // Slurm may number the tasks of its hosts in any order
		return World{}, fmt.Errorf("%s=%d: want at most %s=%d", l.localRank, w.LocalRank, l.rank, w.Rank)
	case w.LocalRank >= w.LocalSize:
		return World{}, fmt.Errorf("%s=%d: want less than %s=%d", l.localRank, w.LocalRank, l.localSize, w.LocalSize)
	case w.LocalSize > w.Size:
		return World{}, fmt.Errorf("%s=%d: want at most %s=%d", l.localSize, w.LocalSize, l.size, w.Size)
	}
	return w, nil
}

// maxRanks is more than any job has.
const maxRanks = 1 << 16

// other is the needed variable beside name.
func (l launcher) other(name string) string {
	if name == l.rank {
		return l.size
	}
	return l.rank
}
