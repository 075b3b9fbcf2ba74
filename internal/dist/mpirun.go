package dist

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed rank.sh
var rankScript string

// mpiRanks are ranks that mpirun has started.
type mpiRanks struct {
	job   Job
	board board
	cmd   *exec.Cmd
	over  chan struct{}

	copying sync.WaitGroup
	readers []*os.File // of the ranks' outputs
	writers []*os.File // their other ends, held open until all ranks have ended
}

func startMPI(j Job, b board) (running, error) {
	program, args, err := mpirunFor(j.Ranks)
	if err != nil {
		return nil, err
	}
	m := &mpiRanks{job: j, board: b, over: make(chan struct{})}
	if err := m.prepare(); err != nil {
		return nil, errors.Join(err, m.close())
	}
	args = append(args, "sh", "-c", rankScript, "sh", string(b))
	m.cmd = exec.Command(program, append(args, j.Args...)...)
	m.cmd.Env = append(j.environment(b), libraryPath(program))
	m.cmd.Stdout, m.cmd.Stderr = j.Stdout, j.Stderr // what mpirun itself says
	m.cmd.SysProcAttr = apart()
	m.cmd.WaitDelay = j.Grace
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // as for processes
		defer runtime.UnlockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			_ = m.cmd.Wait() // the state says more
			close(m.over)
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("start mpirun: %w", err), m.close())
	}
	return m, nil
}

// mpirunFor is the launcher in PATH with the arguments for so many ranks on this machine, which bind themselves to cores.
func mpirunFor(ranks int) (program string, args []string, err error) {
	for _, name := range []string{"mpirun", "mpiexec"} {
		if program, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		return "", nil, fmt.Errorf("%w: there is no mpirun in PATH: install Open MPI or MPICH, or add its folder of programs to PATH", ErrNoMPI)
	}
	version, err := exec.Command(program, "--version").CombinedOutput()
	if err != nil {
		return "", nil, fmt.Errorf("%w: %s --version: %w: %s", ErrNoMPI, program, err, version)
	}
	args = []string{"-n", fmt.Sprint(ranks)}
	if !strings.Contains(string(version), "Open MPI") && !strings.Contains(string(version), "OpenRTE") {
		return program, append(args, "-hosts", "localhost", "-bind-to", "none"), nil
	}
	args = append(args, "--host", fmt.Sprint("localhost:", ranks), "--bind-to", "none")
	if os.Geteuid() == 0 {
		args = append(args, "--allow-run-as-root")
	}
	return program, args, nil
}

// libraryPath lets ranks find the library that belongs to mpirun, also where the system's loader does not know its folder.
func libraryPath(program string) string {
	path := os.Getenv("LD_LIBRARY_PATH")
	if real, err := filepath.EvalSymlinks(program); err == nil {
		folder := filepath.Join(filepath.Dir(real), "../lib")
		if found, err := filepath.Glob(folder + "/libmpi*.so.*"); err == nil && len(found) > 0 {
			path = strings.TrimSuffix(folder+":"+path, ":")
		}
	}
	return "LD_LIBRARY_PATH=" + path
}

// prepare lays out what rank.sh wants to find.
func (m *mpiRanks) prepare() error {
	for rank, cores := range coresOf(m.job.Ranks) {
		if err := os.WriteFile(m.board.file(rank, "cpus"), []byte(cores), 0o600); err != nil {
			return err
		}
	}
	out := new(outputs)
	for rank := range m.job.Ranks {
		for what, w := range map[string]io.Writer{"out": m.job.Stdout, "err": m.job.Stderr} {
			if err := m.connect(m.board.file(rank, what), out.of(rank, w)); err != nil {
				return fmt.Errorf("output of rank %d: %w", rank, err)
			}
		}
	}
	return nil
}

// connect makes path a way to w.
func (m *mpiRanks) connect(path string, w io.Writer) error {
	if file, ok := w.(*os.File); ok {
		// Rank 0 sees a terminal where this process does.
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return os.Symlink(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), file.Fd()), path)
		}
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return err
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	m.readers = append(m.readers, reader)
	writer, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	m.writers = append(m.writers, writer)
	m.copying.Go(func() {
		_, _ = io.Copy(w, reader) // a reader of ours that has gone is no reason to end the ranks
		_ = end(w)
	})
	return nil
}

// signal reaches the ranks themselves, not through mpirun, which would end them soon after.
func (m *mpiRanks) signal(s os.Signal) {
	reached := false
	for rank := range m.job.Ranks {
		if pid, ok := m.board.number(rank, "pid"); ok {
			reached = syscall.Kill(int(pid), s.(syscall.Signal)) == nil || reached
		}
	}
	if !reached || s == syscall.SIGKILL {
		_ = m.cmd.Process.Signal(s) // an error means that it has just ended
	}
}

func (m *mpiRanks) failed() (Exit, bool) {
	for _, e := range m.board.exits() {
		if e.Status() != 0 {
			return e, true
		}
	}
	select {
	case <-m.over:
		if code := m.cmd.ProcessState.ExitCode(); code != 0 {
			if code < 0 {
				code = 128 + int(m.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
			}
			return exitOf(-1, code), true
		}
	default:
	}
	return Exit{}, false
}

func (m *mpiRanks) done() <-chan struct{} { return m.over }

func (m *mpiRanks) close() error {
	ended := map[int]bool{}
	for _, e := range m.board.exits() {
		ended[e.Rank] = true
	}
	for rank := range m.job.Ranks {
		if pid, ok := m.board.number(rank, "pid"); ok && !ended[rank] {
			_ = syscall.Kill(int(pid), syscall.SIGKILL) // mpirun may have ended rank.sh alone
		}
	}
	for _, w := range m.writers {
		w.Close() //nolint:errcheck // nothing was written
	}
	for _, r := range m.readers {
		// What a rank left behind may hold its output open.
		if err := r.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
	}
	m.copying.Wait()
	for _, r := range m.readers {
		r.Close() //nolint:errcheck // all was read
	}
	return nil
}
