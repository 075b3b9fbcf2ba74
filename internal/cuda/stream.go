package cuda

// #include "driver.h"
import "C"

import (
	"time"
	"unsafe"

	"gorgonia.org/cu"
)

// stream is a queue of work for the device, which runs it in order, and beside that of other streams.
type stream struct{ s cu.Stream }

// newStream returns a stream that does not wait for the null stream.
func (d *device) newStream() (*stream, error) {
	s, err := cu.MakeStream(cu.NonBlocking)
	if err != nil {
		return nil, wrap("create a stream", err)
	}
	return &stream{s}, nil
}

func (s *stream) destroy() error { return wrap("destroy a stream", s.s.Destroy()) }

// sync returns when all work issued is done, with the error of any of it.
func (s *stream) sync() error { return wrap("wait for a stream", s.s.Synchronize()) }

// upload copies src, which is page-locked and must stay as it is until the copy is done.
func (s *stream) upload(dst address, src []byte) error {
	return wrap("copy to the device", cu.MemcpyHtoDAsync(cu.DevicePtr(dst), unsafe.Pointer(unsafe.SliceData(src)), int64(len(src)), s.s))
}

// download copies to dst, which is page-locked and holds the copy only when that is done.
func (s *stream) download(dst []byte, src address) error {
	return wrap("copy from the device", cu.MemcpyDtoHAsync(unsafe.Pointer(unsafe.SliceData(dst)), cu.DevicePtr(src), int64(len(dst)), s.s))
}

// copy copies within the device's memory.
func (s *stream) copy(dst, src address, bytes int64) error {
	return wrap("copy on the device", cu.MemcpyDtoDAsync(cu.DevicePtr(dst), cu.DevicePtr(src), bytes, s.s))
}

// event marks a point in the work of a stream.
type event struct{ e cu.Event }

// newEvent returns an event; only a timed one can be used with since, and costs a little more.
func (d *device) newEvent(timed bool) (*event, error) {
	flags := cu.DisableTiming
	if timed {
		flags = cu.DefaultEvent
	}
	e, err := cu.MakeEvent(flags)
	if err != nil {
		return nil, wrap("create an event", err)
	}
	return &event{e}, nil
}

func (e *event) destroy() error { return wrap("destroy an event", cu.DestroyEvent(&e.e)) }

// record puts the event behind all work issued so far.
func (s *stream) record(e *event) error { return wrap("record an event", e.e.Record(s.s)) }

// recordEachTime is record within a capture: the recording puts the event there whenever it runs.
func (s *stream) recordEachTime(e *event) error {
	c := *(*C.CUevent)(unsafe.Pointer(&e.e)) // a cu.Event holds the handle alone
	return failed("record an event in a capture", C.cuEventRecordWithFlags(c, s.c(), C.CU_EVENT_RECORD_EXTERNAL))
}

// wait lets work issued from now on start only when the work before the event's last record is done.
func (s *stream) wait(e *event) error { return wrap("wait for an event", s.s.Wait(e.e, 0)) }

// sync returns when the work before the event's last record is done, at once where it was never recorded.
func (e *event) sync() error { return wrap("wait for an event", e.e.Synchronize()) }

// since is the time that passed on the device from start to e, both recorded and done.
func (e *event) since(start *event) (time.Duration, error) {
	ms, err := start.e.Elapsed(e.e)
	return time.Duration(ms * float64(time.Millisecond)), wrap("take the time between two events", err)
}
