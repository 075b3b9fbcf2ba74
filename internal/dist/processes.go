package dist

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// processes are ranks that are children of this process.
type processes struct {
	mu    sync.Mutex
	ranks []*exec.Cmd // nil once it has ended
	first *Exit       // that failed by itself
	ended bool        // ranks have been asked to end

	all  sync.WaitGroup
	over chan struct{}
}

// startProcesses starts ranks that meet at a free port of the loopback interface.
func startProcesses(j Job, b board) (running, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &processes{ranks: make([]*exec.Cmd, j.Ranks), over: make(chan struct{})}
	out := new(outputs)
	for rank := range j.Ranks {
		cmd := exec.Command(j.Args[0], j.Args[1:]...)
		cmd.Env = j.environment(b)
		if j.Ranks > 1 {
			cmd.Env = append(
				cmd.Env, fmt.Sprint("RANK=", rank), fmt.Sprint("LOCAL_RANK=", rank), fmt.Sprint("WORLD_SIZE=", j.Ranks),
				fmt.Sprint("LOCAL_WORLD_SIZE=", j.Ranks), "MASTER_ADDR=127.0.0.1", fmt.Sprint("MASTER_PORT=", port),
			)
		}
		cmd.Stdout, cmd.Stderr = out.of(rank, j.Stdout), out.of(rank, j.Stderr)
		// Whatever the rank leaves behind may hold its output open.
		cmd.WaitDelay = j.Grace
		p.all.Add(1)
		started := make(chan error)
		go p.run(rank, cmd, started)
		if err := <-started; err != nil {
			p.signal(syscall.SIGKILL)
			p.all.Wait()
			return nil, fmt.Errorf("start rank %d: %w", rank, err)
		}
	}
	go func() {
		p.all.Wait()
		close(p.over)
	}()
	return p, nil
}

// apart keeps a child from the signals of a terminal, which are passed on, and stops it where this process ends first.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// run starts a rank and waits for its end.
func (p *processes) run(rank int, cmd *exec.Cmd, started chan<- error) {
	defer p.all.Done()
	runtime.LockOSThread() // Pdeathsig is sent when the thread that has started a child ends
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = apart()
	p.mu.Lock()
	err := cmd.Start()
	if err == nil {
		p.ranks[rank] = cmd
	}
	p.mu.Unlock()
	started <- err
	if err != nil {
		return
	}
	_ = cmd.Wait() // the state says more
	_, _ = end(cmd.Stdout), end(cmd.Stderr)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ranks[rank] = nil
	e := Exit{Rank: rank, Code: cmd.ProcessState.ExitCode()}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		e = Exit{Rank: rank, Signal: status.Signal()}
	}
	// The end of a rank that has lost another may be seen before the other's.
	cause := p.first != nil && p.first.Status() == CodeLost && e.Status() != 0 && e.Status() != CodeLost && !p.ended
	if p.first == nil && e.Status() != 0 || cause {
		p.first = &e
	}
}

func (p *processes) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for _, cmd := range p.ranks {
		if cmd != nil {
			_ = cmd.Process.Signal(s) // an error means that it has just ended
		}
	}
}

func (p *processes) failed() (Exit, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == nil {
		return Exit{}, false
	}
	return *p.first, true
}

func (p *processes) done() <-chan struct{} { return p.over }
func (p *processes) close() error          { return nil }

// freePort is one at which nothing listens just now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
