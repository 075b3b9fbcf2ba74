package train

import (
	"errors"
	"fmt"

	"senet/internal/backend"
	"senet/internal/graph"
)

// advise adds to the error of a program that found no memory the batch that would find it, as its own plan and that of
// half the batch let expect. key is the config's that holds the batch, and program makes the program for another one.
func advise(err error, key string, batch int, program func(batch int) (*graph.Program, error)) error {
	var full *backend.OutOfMemory
	if !errors.As(err, &full) {
		return err
	}
	fits := 0
	if small := batch / 2; small > 0 {
		plan := func(batch int) (int64, error) {
			p, err := program(batch)
			if err != nil {
				return 0, err
			}
			return graph.PlanMemory(p, (*graph.Value).Bytes).Peak(), nil
		}
		smallBytes, smallErr := plan(small)
		bytes, planErr := plan(batch)
		if other := errors.Join(smallErr, planErr); other != nil {
			return errors.Join(err, other)
		}
		// The backend's layouts take more or less than the logical shapes, of either batch by about the same factor.
		free := float64(full.Free) * float64(bytes) / float64(full.Planned.Peak())
		fits = graph.BatchThatFits(small, smallBytes, batch, bytes, int64(free))
	}
	if fits = min(fits, batch-1); fits < 1 {
		return fmt.Errorf("%w\nno smaller %s fits either", err, key)
	}
	return fmt.Errorf("%w\nby estimate, %s %d fits", err, key, fits)
}
