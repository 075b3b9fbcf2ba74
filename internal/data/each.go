package data

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// eachOf calls do with every number below n, from as many goroutines as workers says, 0 for one per processor. newWorker
// makes what one of them calls. The first error stops all.
func eachOf(ctx context.Context, n, workers int, newWorker func() (do func(i int) error)) error {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(workers, n) {
		group.Go(func() {
			do := newWorker()
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
