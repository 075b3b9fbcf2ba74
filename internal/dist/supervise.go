package dist

import (
	"fmt"
	"slices"
)

// settled are the codes of jobs that would end alike if they were started again: done, wrong usage or config, bad data, no device,
// diverged, or stopped by SIGINT or SIGTERM.
var settled = []int{0, 2, 3, 4, 5, 130, 143}

// Supervise launches a job, and again after each crash, restarts times at most, with the arguments that again makes of those before. A
// job that ends with 0, 2, 3, 4, 5, 130 or 143, or after one of Signals, is not started again. It says each restart in a line to Stderr.
func Supervise(j Job, restarts int, again func(args []string) []string) (Exit, error) {
	for try := 1; ; try++ {
		e, stopped, err := launch(j)
		if err != nil || stopped || slices.Contains(settled, e.Status()) || try > restarts {
			return e, err
		}
		if _, err := fmt.Fprintf(j.Stderr, "senet: %s; restart %d of %d\n", e, try, restarts); err != nil {
			return e, fmt.Errorf("tell of a restart: %w", err)
		}
		j.Args = again(j.Args)
	}
}
