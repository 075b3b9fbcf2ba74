package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"gorgonia.org/tensor"
)

// inFlight is how many batches an iterator has: one the caller uses, one that is ready, one being filled.
const inFlight = 3

// tasksPerWorker is how many tasks a batch makes for each worker: several, so that a slow image
// does not keep the others idle; few, so that handing them over does not cost more than small images do.
const tasksPerWorker = 4

var errClosed = errors.New("loader: the iterator is closed")

// Iterator yields the batches of an epoch in order. One goroutine at a time may use it.
//
// A goroutine numbers free batches in the order of the epoch and splits their rows into tasks, which
// the workers fill in any order. Because a batch is numbered only when there is memory for it, the
// batch that Next waits for always makes progress.
type Iterator struct {
	loader *Loader
	epoch  int
	next   int // number of the batch that Next returns next
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup

	free    chan *slot
	ordered chan *slot // numbered batches, maybe still being filled
	tasks   chan task
	lent    map[*Batch]*slot // what Next returned and Recycle has not seen

	waited time.Duration
	err    error // what Next says from now on
}

// slot is the memory of one batch.
type slot struct {
	batch  Batch
	pixels []uint8 // of batch.Images
	labels []int32 // of batch.Labels
	rows   []pick  // samples that count, by row

	unfinished atomic.Int32  // tasks
	filled     chan struct{} // has an element when no task is unfinished

	mu     sync.Mutex
	err    error // of row failed
	failed int
}

// task is rows lo to hi-1 of a slot.
type task struct {
	*slot
	lo, hi int
}

// start runs the workers.
func (it *Iterator) start() {
	l := it.loader
	for range inFlight {
		b, size := l.o.BatchSize, l.h*l.w*l.c
		s := &slot{pixels: make([]uint8, b*size), labels: make([]int32, b), filled: make(chan struct{}, 1)}
		s.batch.Images = tensor.New(tensor.WithShape(b, l.h, l.w, l.c), tensor.WithBacking(s.pixels))
		s.batch.Labels = tensor.New(tensor.WithShape(b), tensor.WithBacking(s.labels))
		it.free <- s
	}
	first := it.next
	it.group.Go(func() { it.dispatch(first) })
	for range l.o.Workers {
		it.group.Go(it.work)
	}
}

// dispatch hands out the epoch from batch first on.
func (it *Iterator) dispatch(first int) {
	defer close(it.tasks)
	l := it.loader
	size := l.o.BatchSize
	order := l.sampler.order(it.epoch)
	step := max(1, size/(tasksPerWorker*l.o.Workers))
	for n := first; n < l.Batches(); n++ {
		var s *slot
		select {
		case s = <-it.free:
		case <-it.ctx.Done():
			return
		}
		s.rows = order[min(n*size, len(order)):min((n+1)*size, len(order))] // none, of a rank with fewer images in evaluation
		s.batch.Size = len(s.rows)
		if l.pictures != nil {
			for _, p := range s.rows {
				l.pictures.announce(p.index)
			}
		}
		s.unfinished.Store(int32((size + step - 1) / step))
		it.ordered <- s // has room for all slots
		for lo := 0; lo < size; lo += step {
			select {
			case it.tasks <- task{s, lo, min(lo+step, size)}:
			case <-it.ctx.Done():
				return
			}
		}
	}
}

// work fills rows until there are none left.
func (it *Iterator) work() {
	r := it.loader.newReader()
	for t := range it.tasks {
		it.fill(r, t)
		if t.unfinished.Add(-1) == 0 {
			t.filled <- struct{}{}
		}
	}
}

// fill reads the rows of t up to the first that fails.
func (it *Iterator) fill(r *reader, t task) {
	size := r.h * r.w * r.c
	for row := t.lo; row < t.hi && it.ctx.Err() == nil; row++ {
		pixels := t.pixels[row*size : (row+1)*size]
		if row >= len(t.rows) {
			clear(pixels)
			t.labels[row] = -1
			continue
		}
		label, err := r.read(it.epoch, t.rows[row], pixels)
		if err != nil {
			t.fail(row, err)
			return
		}
		t.labels[row] = label
	}
}

// fail keeps the error of the lowest row, whichever worker comes first.
func (s *slot) fail(row int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || row < s.failed {
		s.err, s.failed = err, row
	}
}

// Next returns the next batch. It is the caller's until Recycle, and two batches may be kept while asking for
// a third. At the end of the epoch the error is io.EOF, after cancellation the context's, and if a
// sample cannot be read, it names sample and source. After an error Next returns the same again.
func (it *Iterator) Next() (*Batch, error) {
	if it.err != nil {
		return nil, it.err
	}
	s, err := it.await()
	if err != nil {
		it.err = err
		return nil, err
	}
	it.next++
	it.lent[&s.batch] = s
	return &s.batch, nil
}

// await blocks until the next batch is filled.
func (it *Iterator) await() (*slot, error) {
	switch {
	case it.next == it.loader.Batches():
		return nil, io.EOF
	case len(it.lent) == inFlight:
		return nil, fmt.Errorf("loader: all %d batches are in use: recycle them", inFlight)
	}
	start := time.Now()
	defer func() { it.waited += time.Since(start) }()
	var s *slot
	select {
	case s = <-it.ordered:
	case <-it.ctx.Done():
		return nil, it.ctx.Err()
	}
	select {
	case <-s.filled:
	case <-it.ctx.Done():
		return nil, it.ctx.Err()
	}
	// A cancelled task counts as finished although its rows are not filled.
	if it.ctx.Err() != nil {
		return nil, it.ctx.Err()
	}
	if s.err != nil {
		return nil, fmt.Errorf("loader: epoch %d, batch %d: %w", it.epoch, it.next, s.err)
	}
	return s, nil
}

// Recycle gives back a batch that Next returned; it must not be used afterwards. Any other batch is left alone.
func (it *Iterator) Recycle(b *Batch) {
	s, ok := it.lent[b]
	if !ok {
		return
	}
	delete(it.lent, b)
	it.free <- s // has room for all slots
}

// Waited is how long Next has blocked so far: the time by which the source is too slow.
func (it *Iterator) Waited() time.Duration { return it.waited }

// Close stops the workers and waits until they are gone. It may be called more than once.
func (it *Iterator) Close() {
	if it.err == nil {
		it.err = errClosed
	}
	it.cancel()
	it.group.Wait()
}
