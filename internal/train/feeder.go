package train

import (
	"io"
	"time"

	"senet/internal/data"
)

// leave closes it. For a read that does not end, as from a server that is gone, it waits a second only: what is left to
// do may be to exit.
func leave(it *data.Iterator) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		it.Close()
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

// feeder writes the batches of an epoch to the network, each while the step before it runs: the image and the labels are
// read in phase Step alone, so that a backend may upload the next ones meanwhile.
type feeder struct {
	it     *data.Iterator
	net    *Compiled
	mixer  *mixer // nil without mixing
	share  share
	epoch  int
	batch  int           // the position of what next fetches, counted from 0
	end    int           // the position after the last
	images int           // of the batch that the network holds
	err    error         // why it holds none, io.EOF after the last
	waited time.Duration // until the last call of wait
}

// next fetches and writes the next batch. What fails does so for the step that needs the batch.
func (f *feeder) next() {
	if f.batch >= f.end {
		f.err = io.EOF
		return
	}
	b, err := f.it.Next()
	if err == nil {
		f.images = b.Size
		if f.mixer != nil {
			err = f.mixer.mix(f.net, b, f.epoch, f.share.microBatch(f.batch))
		}
		if err == nil {
			err = f.net.feed(b)
		}
		f.batch += f.share.whole
		f.it.Recycle(b)
	}
	f.err = err
}

// wait is how long the loader let next wait since the last call.
func (f *feeder) wait() time.Duration {
	before := f.waited
	f.waited = f.it.Waited()
	return f.waited - before
}
