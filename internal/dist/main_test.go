package dist

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// scenarioVariable names what a process of this test binary does in place of the tests.
const scenarioVariable = "SENET_DIST_SCENARIO"

// scenarios are what ranks do; each returns its process's exit code.
var scenarios = map[string]func(t *rank) int{}

// rank is a process that a test has started.
type rank struct {
	World
	arg string // behind the scenario's name
}

// fail says on stderr what is wrong, for the test to show.
func (r *rank) fail(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "FAIL rank %d: %s\n", r.Rank, fmt.Sprintf(format, args...))
	return 99
}

func TestMain(m *testing.M) {
	name, arg, _ := strings.Cut(os.Getenv(scenarioVariable), " ")
	if name == "" {
		os.Exit(m.Run())
	}
	w, err := FromEnv(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(98)
	}
	time.AfterFunc(time.Minute, func() {
		fmt.Fprintln(os.Stderr, "FAIL: a rank hangs")
		os.Exit(97)
	})
	os.Exit(scenarios[name](&rank{w, arg}))
}

// mpis are the kinds of MPI in .deps/mpi.
var mpis = []string{"openmpi", "mpich"}

// mpiRoot is the folder of a kind of MPI.
func mpiRoot(t testing.TB, kind string) string {
	t.Helper()
	root, err := filepath.Abs("../../.deps/mpi/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "bin/mpirun")); err != nil {
		t.Fatal("no MPI here; run scripts/deps.sh mpi: ", err)
	}
	return root
}

// mpirun starts n ranks of a scenario as a user would, and returns the exit code of mpirun and what all have written.
func mpirun(t *testing.T, kind string, n int, scenario string) (int, string) {
	t.Helper()
	root := mpiRoot(t, kind)
	args := []string{"-n", fmt.Sprint(n)}
	if kind == "openmpi" {
		args = append(args, "--allow-run-as-root", "--bind-to", "none", "--map-by", ":OVERSUBSCRIBE")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin/mpirun"), append(args, self)...)
	cmd.Env = append(os.Environ(), scenarioVariable+"="+scenario, "LD_LIBRARY_PATH="+filepath.Join(root, "lib"))
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// eachMPI runs f for both kinds.
func eachMPI(t *testing.T, f func(t *testing.T, kind string)) {
	for _, kind := range mpis {
		t.Run(kind, func(t *testing.T) { f(t, kind) })
	}
}
