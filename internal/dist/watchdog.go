package dist

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"
)

// Watchdog notices when a loop hangs.
type Watchdog struct {
	mu    sync.Mutex
	limit time.Duration
	timer *time.Timer // nil: it never fires
	over  bool        // it has fired, or was stopped
}

// NewWatchdog watches from now on. When there is no Beat for limit, it writes the stacks of all goroutines to w and then calls
// fire, once. With a limit of 0 it never does.
func NewWatchdog(limit time.Duration, w io.Writer, fire func()) *Watchdog {
	d := &Watchdog{limit: limit}
	if limit > 0 {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.timer = time.AfterFunc(limit, func() { d.bark(w, fire) })
	}
	return d
}

func (d *Watchdog) bark(w io.Writer, fire func()) {
	d.mu.Lock()
	over := d.over
	d.over = true
	d.mu.Unlock()
	if over {
		return
	}
	// What cannot be written is lost, and the loop hangs all the same.
	_, _ = fmt.Fprintf(w, "no progress for %s; the goroutines:\n\n%s\n", d.limit, stacks())
	fire()
}

// stacks are those of all goroutines, whole.
func stacks() []byte {
	for size := 1 << 20; ; size *= 2 {
		buffer := make([]byte, size)
		if n := runtime.Stack(buffer, true); n < size {
			return buffer[:n]
		}
	}
}

// Beat tells that the loop goes on.
func (d *Watchdog) Beat() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.over {
		d.timer.Reset(d.limit)
	}
}

// Stop ends the watch. A call of fire that has begun is not waited for.
func (d *Watchdog) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.over = true
}
