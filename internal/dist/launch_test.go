package dist

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func init() {
	scenarios["speaks"] = speaksScenario
	scenarios["dies"] = diesScenario
	scenarios["stops"] = stopsScenario
	scenarios["stubborn"] = stubbornScenario
	scenarios["counts"] = countsScenario
}

// join is the group of the ranks that a test has launched.
func (r *rank) join() (Group, error) {
	if r.By == ByMPI {
		return OpenMPI(context.Background(), r.World)
	}
	return Join(context.Background(), r.World)
}

// launchers are the ways to start ranks: as children, and by the two kinds of mpirun.
var launchKinds = append([]string{"children"}, mpis...)

// eachLauncher runs f with a job of n ranks of a scenario, for each way to start them.
func eachLauncher(t *testing.T, n int, scenario string, f func(t *testing.T, j Job, stdout, stderr *bytes.Buffer)) {
	for _, kind := range launchKinds {
		t.Run(kind, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			if kind != "children" {
				t.Setenv("PATH", filepath.Join(mpiRoot(t, kind), "bin")+":"+os.Getenv("PATH"))
			}
			stdout, stderr := new(bytes.Buffer), new(bytes.Buffer)
			f(t, Job{
				Args: []string{self}, Ranks: n, MPI: kind != "children", Env: []string{scenarioVariable + "=" + scenario},
				Stdout: &locked{mu: new(sync.Mutex), w: stdout}, Stderr: &locked{mu: new(sync.Mutex), w: stderr}, Grace: 2 * time.Second,
			}, stdout, stderr)
		})
	}
}

// finish fails the test where the job lasts longer than its bound.
func finish(t *testing.T, what string, f func() (Exit, error)) Exit {
	t.Helper()
	type result struct {
		e   Exit
		err error
	}
	done := make(chan result, 1)
	go func() {
		e, err := f()
		done <- result{e, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r.e
	case <-time.After(40 * time.Second):
		t.Fatalf("%s: the job goes on", what)
		return Exit{}
	}
}

// speaksScenario writes to both outputs, in parts and without an end of the last line.
func speaksScenario(r *rank) int {
	fmt.Printf("one of %d\ntw", r.Size)
	fmt.Printf("o\nthree")
	fmt.Fprintf(os.Stderr, "error of %s, %s threads\n", r.By, os.Getenv("GOMAXPROCS"))
	if r.LocalRank != r.Rank || r.LocalSize != r.Size {
		return r.fail("local rank %d of %d", r.LocalRank, r.LocalSize)
	}
	return 0
}

func TestLaunchPassesOutputOn(t *testing.T) {
	eachLauncher(t, 2, "speaks", func(t *testing.T, j Job, stdout, stderr *bytes.Buffer) {
		t.Setenv("SLURM_PROCID", "5") // of another job, around this one
		t.Setenv("RANK", "7")
		j.Threads = 3
		e := finish(t, "speaks", func() (Exit, error) { return Launch(j) })
		by := map[bool]string{true: ByMPI, false: ByTorchrun}[j.MPI]
		rest := stdout.String()
		for _, want := range []string{"one of 2\ntwo\nthree", "[rank 1] one of 2\n", "[rank 1] two\n", "[rank 1] three\n"} {
			if !strings.Contains(rest, want) && want[0] == '[' {
				t.Errorf("stdout has no %q: %q", want, stdout)
			}
			rest = strings.Replace(rest, want, "", 1)
		}
		// Rank 0's is passed on as it comes, so lines of others may come between.
		if rest != "" && strings.NewReplacer("one of 2\n", "", "two\n", "", "tw", "", "o\n", "", "three", "").Replace(rest) != "" || strings.Count(stdout.String(), "one of 2") != 2 {
			t.Errorf("stdout is %q", stdout)
		}
		line := fmt.Sprintf("error of %s, 3 threads\n", by)
		if have := stderr.String(); have != line+"[rank 1] "+line && have != "[rank 1] "+line+line {
			t.Errorf("stderr is %q", have)
		}
		if e.Status() != 0 || e.Rank != 0 {
			t.Errorf("the job ended with %+v", e)
		}
	})
}

// diesScenario: after some steps rank 1 ends by an exit code, or by a signal where the number is negative.
func diesScenario(r *rank) int {
	status, err := OpenStatus(os.Getenv, r.World)
	if err != nil || status == nil {
		return r.fail("status %v, %v", status, err)
	}
	g, err := r.join()
	if err != nil {
		return r.fail("%v", err)
	}
	for _, step := range []int64{99999, 40, 41} {
		status.Step(step + int64(r.Rank))
	}
	if _, err := g.Gather(nil); err != nil {
		return r.fail("%v", err)
	}
	code, err := strconv.Atoi(r.arg)
	switch {
	case err != nil:
		return r.fail("%v", err)
	case r.Rank != 1:
	case code < 0:
		if err := syscall.Kill(os.Getpid(), syscall.Signal(-code)); err != nil {
			return r.fail("%v", err)
		}
		select {}
	default:
		return code
	}
	_, err = g.Gather(nil)
	fmt.Fprintln(os.Stderr, "gather:", err)
	return CodeLost
}

func TestLaunchEndsTheOthersOfARankThatFails(t *testing.T) {
	host, _ := os.Hostname()
	for _, c := range []struct {
		arg  string
		want Exit
		text string
	}{
		{"3", Exit{Rank: 1, Host: host, Code: 3, Step: 42}, "rank 1 on " + host + " ended with exit code 3 after step 42"},
		{"-9", Exit{Rank: 1, Host: host, Signal: syscall.SIGKILL, Step: 42}, "rank 1 on " + host + " was ended by signal 9 (killed) after step 42"},
	} {
		eachLauncher(t, 3, "dies "+c.arg, func(t *testing.T, j Job, stdout, stderr *bytes.Buffer) {
			start := time.Now()
			e := finish(t, c.arg, func() (Exit, error) { return Launch(j) })
			if e != c.want || e.String() != c.text {
				t.Errorf("%s: have %+v, %q, want %+v, %q\n%s%s", c.arg, e, e, c.want, c.text, stdout, stderr)
			}
			if strings.Contains(stderr.String(), "FAIL") {
				t.Errorf("%s: %s", c.arg, stderr)
			}
			t.Logf("%s: after %s", c.arg, time.Since(start))
			if !j.MPI && strings.Count(stderr.String(), "gather: lost a rank: rank 1 on "+host+": it has ended") != 2 {
				t.Errorf("%s: the others did not learn of it:\n%s", c.arg, stderr)
			}
		})
	}
}

// stubbornScenario: rank 1 fails, and the others do not care, even for SIGTERM.
func stubbornScenario(r *rank) int {
	signal.Ignore(syscall.SIGTERM)
	g, err := r.join()
	if err != nil {
		return r.fail("%v", err)
	}
	if _, err := g.Gather(nil); err != nil {
		return r.fail("%v", err)
	}
	if r.Rank == 1 {
		return 6
	}
	time.Sleep(time.Hour)
	return 0
}

func TestLaunchKillsWhatDoesNotEnd(t *testing.T) {
	eachLauncher(t, 3, "stubborn", func(t *testing.T, j Job, stdout, stderr *bytes.Buffer) {
		if e := finish(t, "stubborn", func() (Exit, error) { return Launch(j) }); e.Rank != 1 || e.Code != 6 {
			t.Errorf("have %+v, want rank 1 and code 6\n%s%s", e, stdout, stderr)
		}
	})
}

// stopsScenario ends in order at SIGTERM, rank 0 last; another signal would end it at once.
func stopsScenario(r *rank) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	g, err := r.join()
	if err != nil {
		return r.fail("%v", err)
	}
	if _, err := g.Gather(nil); err != nil {
		return r.fail("%v", err)
	}
	fmt.Println("ready")
	number := (<-signals).(syscall.Signal)
	signal.Reset(syscall.SIGTERM, syscall.SIGINT)
	if r.Rank == 0 {
		time.Sleep(400 * time.Millisecond)
	}
	if r.By == ByMPI { // whose launcher takes an exit before MPI has ended for a failure
		if err := g.Close(); err != nil {
			return r.fail("%v", err)
		}
	}
	fmt.Println("saved")
	return 128 + int(number)
}

// notices calls f once when text has been written.
type notices struct {
	w    *bytes.Buffer
	text string
	n    int
	f    func()
}

func (n *notices) Write(b []byte) (int, error) {
	n.w.Write(b)
	if n.f != nil && strings.Count(n.w.String(), n.text) == n.n {
		n.f()
		n.f = nil
	}
	return len(b), nil
}

func TestLaunchPassesSignalsOn(t *testing.T) {
	for _, number := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		eachLauncher(t, 2, "stops", func(t *testing.T, j Job, stdout, stderr *bytes.Buffer) {
			signals := make(chan os.Signal, 1)
			j.Signals = signals
			j.Stdout = &locked{mu: new(sync.Mutex), w: &notices{stdout, "ready", j.Ranks, func() { signals <- number }}}
			again := func(args []string) []string {
				t.Error("a job that was stopped is started again")
				return args
			}
			e := finish(t, "stops", func() (Exit, error) { return Supervise(j, 3, again) })
			if e.Status() != 128+int(number) || strings.Count(stdout.String(), "saved") != j.Ranks {
				t.Errorf("%s: have %+v\n%s%s", number, e, stdout, stderr)
			}
		})
	}
}

// countsScenario: the first tries of a job end as its argument tells, one after the other.
func countsScenario(r *rank) int {
	codes := strings.Split(r.arg, ",")
	path := os.Args[1]
	try, err := os.ReadFile(path)
	if err != nil {
		return r.fail("%v", err)
	}
	if err := os.WriteFile(path, append(try, '.'), 0o600); err != nil {
		return r.fail("%v", err)
	}
	if got, want := len(os.Args)-2, len(try); got != want {
		return r.fail("%d arguments at try %d", got, want)
	}
	code, err := strconv.Atoi(codes[len(try)])
	if err != nil {
		return r.fail("%v", err)
	}
	if code < 0 {
		_ = syscall.Kill(os.Getpid(), syscall.Signal(-code))
		select {}
	}
	if code == 77 {
		panic("a bug")
	}
	return code
}

func TestSupervise(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		codes    string
		restarts int
		tries    int
		want     int
	}{
		{"0", 3, 1, 0},
		{"1,6,-9,-11,77,0", 5, 6, 0},
		{"1,6,1", 1, 2, 6},
		{"1,0", 0, 1, 1},
		{"2,0", 3, 1, 2},
		{"3,0", 3, 1, 3},
		{"4,0", 3, 1, 4},
		{"5,0", 3, 1, 5},
		{"6,130,0", 3, 2, 130},
		{"143,0", 3, 1, 143},
		{"-9,-9,-9", 2, 3, 137},
	} {
		path := filepath.Join(t.TempDir(), "tries")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		e, err := Supervise(Job{
			Args: []string{self, path}, Ranks: 1, Env: []string{scenarioVariable + "=counts " + c.codes}, Stdout: &stderr, Stderr: &stderr,
		}, c.restarts, func(args []string) []string { return append(args, "again") })
		if err != nil {
			t.Fatal(err)
		}
		tries, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if e.Status() != c.want || len(tries) != c.tries || strings.Contains(stderr.String(), "FAIL") {
			t.Errorf("%+v: have %+v after %d tries\n%s", c, e, len(tries), &stderr)
		}
		if lines := strings.Count(stderr.String(), "; restart "); lines != c.tries-1 {
			t.Errorf("%+v: %d lines tell of a restart\n%s", c, lines, &stderr)
		}
		host, _ := os.Hostname()
		if line := fmt.Sprintf("senet: rank 0 on %s ended with exit code 1 before its first step had ended; restart 1 of %d\n", host, c.restarts); strings.HasPrefix(c.codes, "1,6") && !strings.HasPrefix(stderr.String(), line) {
			t.Errorf("%+v: no line %q in\n%s", c, line, &stderr)
		}
	}
}

func TestLaunchWithoutAProgram(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	for name, j := range map[string]Job{
		"no ranks":    {Args: []string{"true"}},
		"no program":  {Ranks: 1},
		"not there":   {Ranks: 2, Args: []string{"/none/such"}, Stdout: &out, Stderr: &out},
		"no launcher": {Ranks: 2, Args: []string{"true"}, MPI: true, Stdout: &out, Stderr: &out},
	} {
		t.Setenv("PATH", "/none")
		if e, err := Launch(j); err == nil {
			t.Errorf("%s: ends with %+v", name, e)
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "senet-job-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
