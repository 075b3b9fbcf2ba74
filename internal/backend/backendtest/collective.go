package backendtest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"senet/internal/backend"
)

// patience is how long a rank waits for the others before it takes them for lost. Only a broken backend is ever waited for so long.
const patience = time.Minute

// inFlight are the bits that a value has while its sum is on its way: a NaN that no computation makes.
const inFlight = 0x7fabcdef

// Collectives are the ends of ranks that share a process, each for the goroutine of one rank. They sum in the order of ranks. What is
// summed leaves at once: until wait has returned x is NaN, and a backend that touches it is told so by wait's error.
func Collectives(ranks int) []backend.Collective {
	job := &job{ranks: ranks, sums: map[int]*sum{}}
	all := make([]backend.Collective, ranks)
	for i := range all {
		all[i] = &end{job: job, rank: i}
	}
	return all
}

// job is the sums that the ranks have started, by number.
type job struct {
	ranks int
	mutex sync.Mutex
	sums  map[int]*sum
}

type sum struct {
	parts   [][]float32 // by rank
	missing int
	full    chan struct{} // closed when all parts are there
}

type end struct {
	job         *job
	rank, calls int
}

func (e *end) Ranks() int { return e.job.ranks }

func (e *end) Sum(x []float32) func() error {
	s := e.job.add(e.calls, e.rank, slices.Clone(x))
	e.calls++
	for i := range x {
		x[i] = math.Float32frombits(inFlight)
	}
	return func() error {
		select {
		case <-s.full:
		case <-time.After(patience):
			return errors.New("another rank never came to this sum")
		}
		for i, v := range x {
			if math.Float32bits(v) != inFlight {
				return fmt.Errorf("element %d of %d was written to while its sum was on its way", i, len(x))
			}
		}
		return s.total(x)
	}
}

// add puts one rank's part to sum number i.
func (j *job) add(i, rank int, part []float32) *sum {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	s := j.sums[i]
	if s == nil {
		s = &sum{parts: make([][]float32, j.ranks), missing: j.ranks, full: make(chan struct{})}
		j.sums[i] = s
	}
	s.parts[rank] = part
	if s.missing--; s.missing == 0 {
		close(s.full)
		delete(j.sums, i)
	}
	return s
}

func (s *sum) total(x []float32) error {
	clear(x)
	for rank, part := range s.parts {
		if len(part) != len(x) {
			return fmt.Errorf("rank %d sums %d elements, another %d", rank, len(part), len(x))
		}
		for i, v := range part {
			x[i] += v
		}
	}
	return nil
}

// together calls f for each rank, in a goroutine of its own.
func together(ranks int, f func(rank int) error) []error {
	errs := make([]error, ranks)
	var running sync.WaitGroup
	for rank := range ranks {
		running.Go(func() {
			if err := f(rank); err != nil {
				errs[rank] = fmt.Errorf("rank %d: %w", rank, err)
			}
		})
	}
	running.Wait()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}
