package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
)

// onDevice runs f on the first device, and leaves nothing open. Each f frees what it makes.
func onDevice(t *testing.T, f func(d *device) error) {
	t.Helper()
	d, err := openDevice(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.do(func() error { return f(d) }), d.close()); err != nil {
		t.Fatal(err)
	}
}

// blocks are n addresses of so many bytes, and a function that frees them.
func blocks(d *device, n int, size int64) ([]address, func() error, error) {
	all := make([]address, n)
	for i := range all {
		var err error
		if all[i], err = d.alloc(size); err != nil {
			return nil, nil, err
		}
	}
	return all, func() error {
		var errs []error
		for _, a := range all {
			errs = append(errs, d.release(a))
		}
		return errors.Join(errs...)
	}, nil
}

func TestDeviceDescribesItself(t *testing.T) {
	onDevice(t, func(d *device) error {
		p := Probe().Devices[0]
		if d.name != p.Name || fmt.Sprintf("%d.%d", d.compute/10, d.compute%10) != p.Compute || d.totalBytes != p.TotalBytes {
			t.Errorf("%+v, and the probe says %+v", d, p)
		}
		if d.sms < 1 || d.totalBytes < 1 || d.peakBandwidth < 0 {
			t.Errorf("%+v", d)
		}
		return nil
	})
}

func TestMemory(t *testing.T) {
	const size = 1<<20 + 3
	onDevice(t, func(d *device) error {
		a, release, err := blocks(d, 2, size)
		if err != nil {
			return err
		}
		host, err := d.allocPinned(2 * size)
		if err != nil {
			return err
		}
		s, err := d.newStream()
		if err != nil {
			return err
		}
		out, in := host.bytes[:size], host.bytes[size:]
		read := func() error { return errors.Join(s.download(in, a[1]), s.sync()) }
		if err := errors.Join(d.clear(a[1], size), read()); err != nil {
			return err
		}
		if !bytes.Equal(in, make([]byte, size)) {
			t.Error("cleared memory is not zero")
		}
		for i := range out {
			out[i] = byte(i * 7)
		}
		if err := errors.Join(s.upload(a[0], out), s.copy(a[1], a[0], size), read()); err != nil {
			return err
		}
		if !bytes.Equal(in, out) {
			t.Error("copied up, across and down, the bytes differ")
		}
		return errors.Join(release(), d.release(0), host.free(), host.free(), s.destroy())
	})
}

// TestRelease: memory that was released is free again.
func TestRelease(t *testing.T) {
	const size = 64 << 20
	onDevice(t, func(d *device) error {
		free := func() int64 {
			var m *OutOfMemory
			if err := outOfMemory(0); !errors.As(err, &m) {
				t.Error(err)
				return 0
			}
			return m.Free
		}
		before := free()
		_, release, err := blocks(d, 1, size)
		if err != nil {
			return err
		}
		if held := before - free(); held < size {
			t.Errorf("%d bytes are held, want at least %d", held, size)
		}
		err = release()
		if held := before - free(); held > size/2 {
			t.Errorf("%d bytes are held after the release", held)
		}
		return err
	})
}

func TestMemoryRunsOut(t *testing.T) {
	onDevice(t, func(d *device) error {
		const asked = 1 << 50
		_, err := d.alloc(asked)
		var full *OutOfMemory
		if !errors.As(err, &full) || full.Asked != asked || full.Free > full.Total || full.Total < 1 {
			t.Errorf("error %v", err)
		}
		return nil
	})
}

// TestStreams hands data from one stream to another, many times, since an unordered pair may be right by chance.
func TestStreams(t *testing.T) {
	const size = 1 << 16
	onDevice(t, func(d *device) error {
		a, release, err := blocks(d, 1, size)
		if err != nil {
			return err
		}
		host, err := d.allocPinned(2 * size)
		if err != nil {
			return err
		}
		first, err := d.newStream()
		if err != nil {
			return err
		}
		second, err := d.newStream()
		if err != nil {
			return err
		}
		filled, err := d.newEvent(false)
		if err != nil {
			return err
		}
		read, err := d.newEvent(false)
		if err != nil {
			return err
		}
		out, in := host.bytes[:size], host.bytes[size:]
		for i := range 50 {
			for k := range out {
				out[k] = byte(i + 1)
			}
			err := errors.Join(first.upload(a[0], out), first.record(filled), second.wait(filled), second.download(in, a[0]),
				second.record(read), read.sync())
			if err != nil {
				return err
			}
			if !bytes.Equal(in, out) {
				t.Errorf("round %d: the second stream did not wait for the first", i)
			}
		}
		return errors.Join(filled.destroy(), read.destroy(), first.destroy(), second.destroy(), release(), host.free())
	})
}

func TestEventsMeasure(t *testing.T) {
	onDevice(t, func(d *device) error {
		s, err := d.newStream()
		if err != nil {
			return err
		}
		var events [3]*event
		for i := range events {
			if events[i], err = d.newEvent(i < 2); err != nil {
				return err
			}
			if err := s.record(events[i]); err != nil {
				return err
			}
		}
		if err := s.sync(); err != nil {
			return err
		}
		took, err := events[1].since(events[0])
		if took < 0 || took > time.Minute {
			t.Errorf("nothing took %v", took)
		}
		if _, err := events[2].since(events[0]); err == nil {
			t.Error("an event without timing gives a time")
		}
		for _, e := range events {
			err = errors.Join(err, e.destroy())
		}
		return errors.Join(err, s.destroy())
	})
}

// TestCapture: captured work runs when it is launched, each time, and not before.
func TestCapture(t *testing.T) {
	const size = 4096
	onDevice(t, func(d *device) error {
		a, release, err := blocks(d, 2, size)
		if err != nil {
			return err
		}
		host, err := d.allocPinned(2 * size)
		if err != nil {
			return err
		}
		s, err := d.newStream()
		if err != nil {
			return err
		}
		out, in := host.bytes[:size], host.bytes[size:]
		if err := d.clear(a[1], size); err != nil {
			return err
		}
		read := func() byte {
			if err := errors.Join(s.download(in, a[1]), s.sync()); err != nil {
				t.Error(err)
			}
			return in[size-1]
		}
		r, err := s.capture(func() error { return errors.Join(s.upload(a[0], out), s.copy(a[1], a[0], size)) })
		if err != nil {
			return err
		}
		out[size-1] = 1
		if got := read(); got != 0 {
			t.Errorf("the capture alone wrote %d", got)
		}
		for i := byte(1); i < 4; i++ {
			out[size-1] = i
			if err := r.launch(s); err != nil {
				return err
			}
			if got := read(); got != i {
				t.Errorf("launch %d wrote %d", i, got)
			}
		}
		broken := errors.New("broken off")
		if _, err := s.capture(func() error { return errors.Join(s.copy(a[1], a[0], size), broken) }); !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
		if got := read(); got != 3 {
			t.Errorf("after a capture that failed, %d is there", got)
		}
		return errors.Join(r.destroy(), release(), host.free(), s.destroy())
	})
}

// TestThread: calls of many goroutines run one at a time, all on one OS thread.
func TestThread(t *testing.T) {
	d, err := openDevice(0)
	if err != nil {
		t.Fatal(err)
	}
	inside, runs, threads := 0, 0, map[int]bool{}
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() {
			err := d.do(func() error {
				inside++
				runs++
				time.Sleep(time.Microsecond) // lets the goroutine go on elsewhere, if it can
				threads[syscall.Gettid()] = true
				if inside != 1 {
					t.Errorf("%d calls at once", inside)
				}
				inside--
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if runs != 500 || len(threads) != 1 {
		t.Errorf("%d of 500 calls ran, on %d threads", runs, len(threads))
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
	if err := d.do(func() error { t.Error("runs after close"); return nil }); err == nil {
		t.Error("no error after close")
	}
}
