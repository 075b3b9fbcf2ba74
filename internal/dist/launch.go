package dist

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Job is a number of ranks on this machine.
type Job struct {
	Args    []string // the program of a rank and its arguments
	Ranks   int
	MPI     bool     // started by mpirun; else by ourselves with torchrun's variables, of which LOCAL_RANK chooses the GPU
	Threads int      // compute threads of each rank, as GOMAXPROCS and OMP_NUM_THREADS; 0: its share of the cores
	Env     []string // added to the environment of this process

	// Stdout and Stderr get what rank 0 writes as it is, and whole lines of the others behind "[rank 1] ".
	Stdout, Stderr io.Writer
	Signals        <-chan os.Signal // passed on to every rank
	Grace          time.Duration    // from SIGTERM to SIGKILL, for the other ranks of one that failed; 0: 10 s
}

// Exit is how a job ended: how its first rank to fail did, or rank 0 where none failed.
type Exit struct {
	Rank   int // -1: not known, as where mpirun itself failed
	Host   string
	Code   int
	Signal syscall.Signal // that ended the rank; 0: none did
	Step   int64          // the last that the rank told; -1: none
}

// Status is the code with which a process ends that passes on how the job ended: Code, or 128 plus Signal.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}

// String names the rank, its host, the exit code or signal, and the last step.
func (e Exit) String() string {
	who := fmt.Sprintf("rank %d on %s", e.Rank, e.Host)
	if e.Rank < 0 {
		who = "a rank on " + e.Host
	}
	how := fmt.Sprintf("ended with exit code %d", e.Code)
	if e.Signal != 0 {
		how = fmt.Sprintf("was ended by signal %d (%s)", int(e.Signal), e.Signal)
	}
	if e.Step < 0 {
		return fmt.Sprintf("%s %s before its first step had ended", who, how)
	}
	return fmt.Sprintf("%s %s after step %d", who, how, e.Step)
}

// CodeLost is the exit code of a rank whose device or whose other ranks are gone. Where another rank ends in another way, that is why.
const CodeLost = 6

// exitOf reads an exit code as a shell tells it, where 128 and more stand for signals; 130 and 143 are also codes of programs that
// have stopped in order when they were asked to.
func exitOf(rank, code int) Exit {
	if code > 128 && code < 128+65 && code != 130 && code != 143 {
		return Exit{Rank: rank, Signal: syscall.Signal(code - 128)}
	}
	return Exit{Rank: rank, Code: code}
}

// Launch starts the ranks and waits until all have ended. Once one fails, the others are ended: by SIGTERM, and after the grace by
// SIGKILL. An error means that the ranks could not be started.
func Launch(j Job) (Exit, error) {
	e, _, err := launch(j)
	return e, err
}

// running is a job whose ranks have started.
type running interface {
	// signal passes a signal on to all ranks that run.
	signal(s os.Signal)
	// failed is the first rank that failed, if one did.
	failed() (Exit, bool)
	// done is closed when all ranks have ended.
	done() <-chan struct{}
	// close frees what the job has used, and ends what is left of it.
	close() error
}

// launch also says whether one of Signals has come.
func launch(j Job) (e Exit, stopped bool, err error) {
	if j.Ranks < 1 || len(j.Args) == 0 {
		return Exit{}, false, fmt.Errorf("launch %d ranks of %q: want at least one, and a program", j.Ranks, j.Args)
	}
	if j.Grace == 0 {
		j.Grace = 10 * time.Second
	}
	host, err := os.Hostname()
	if err != nil {
		return Exit{}, false, fmt.Errorf("name of this host: %w", err)
	}
	board, err := newBoard()
	if err != nil {
		return Exit{}, false, err
	}
	defer func() { err = errors.Join(err, board.remove()) }()
	start := startProcesses
	if j.MPI && j.Ranks > 1 {
		start = startMPI
	}
	r, err := start(j, board)
	if err != nil {
		return Exit{}, false, err
	}
	stopped = j.wait(r)
	if err := r.close(); err != nil {
		return Exit{}, stopped, err
	}
	e, _ = r.failed()
	e.Host, e.Step = host, board.step(max(e.Rank, 0))
	return e, stopped, nil
}

// wait passes signals on until all ranks have ended, and ends the others of one that fails.
func (j Job) wait(r running) (stopped bool) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	var failure time.Time
	var sent os.Signal
	for {
		select {
		case <-r.done():
			return stopped
		case s := <-j.Signals:
			stopped = true
			r.signal(s)
		case now := <-ticker.C:
			e, failed := r.failed()
			switch {
			case !failed, stopped && (e.Status() == 130 || e.Status() == 143): // the others are about to end in order too
			case failure.IsZero():
				failure = now
			case sent == nil && now.Sub(failure) >= j.mercy():
				sent = syscall.SIGTERM
				r.signal(sent)
			case sent == syscall.SIGTERM && now.Sub(failure) >= j.mercy()+j.Grace:
				sent = syscall.SIGKILL
				r.signal(sent)
			}
		}
	}
}

// mercy is how long the other ranks may take to end by themselves, or mpirun to end them.
func (j Job) mercy() time.Duration { return min(j.Grace/4, time.Second) }

// environment of the ranks: this process's without what tells a rank of another job its place.
func (j Job) environment(board board) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		for _, prefix := range []string{"SLURM_", "PMI_", "PMIX_", "OMPI_COMM_WORLD_", "MPI_LOCAL", "TORCHELASTIC_"} {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
		return slices.Contains([]string{
			torchrun.rank, torchrun.size, torchrun.localRank, torchrun.localSize, "MASTER_ADDR", "MASTER_PORT", kubernetes.rank,
		}, name)
	})
	threads := j.Threads
	if threads == 0 {
		threads = share(j.Ranks)
	}
	env = append(
		env, fmt.Sprint("GOMAXPROCS=", threads), fmt.Sprint("OMP_NUM_THREADS=", threads), statusVariable+"="+string(board),
		"GOTRACEBACK=crash", // a panic then ends the rank by SIGABRT; else its exit code is 2, as for a wrong command line
	)
	return append(env, j.Env...)
}
