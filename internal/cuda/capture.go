package cuda

// #include "driver.h"
import "C"

import (
	"errors"
	"unsafe"
)

// recording is work captured from a stream as a CUDA graph: one launch issues all of it.
type recording struct{ graph C.CUgraphExec }

// c is the stream for our own calls of the driver.
func (s *stream) c() C.CUstream { return C.CUstream(unsafe.Pointer(s.s.C())) }

// capture records what f issues to s, and to streams that wait for it, in place of running it. f may neither wait for
// the device nor allocate.
func (s *stream) capture(f func() error) (*recording, error) {
	// Thread-local: what other threads do, such as another device's, does not disturb.
	if err := failed("start to capture a stream", C.cuStreamBeginCapture(s.c(), C.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)); err != nil {
		return nil, err
	}
	issued := protect(f)
	var graph C.CUgraph
	ended := failed("capture a stream", C.cuStreamEndCapture(s.c(), &graph))
	if graph == nil && issued == nil && ended == nil {
		ended = errors.New("cuda: capture a stream: the driver returned no graph")
	}
	r := &recording{}
	if issued == nil && ended == nil {
		ended = failed("prepare a captured stream", C.cuGraphInstantiateWithFlags(&r.graph, graph, 0))
	}
	if graph != nil {
		ended = errors.Join(ended, failed("free a captured stream", C.cuGraphDestroy(graph)))
	}
	if issued != nil {
		// A capture that f broke ends with an error that only repeats it.
		return nil, issued
	}
	if ended != nil {
		return nil, errors.Join(ended, r.destroy())
	}
	return r, nil
}

// launch issues the recorded work to s.
func (r *recording) launch(s *stream) error {
	return failed("launch recorded work", C.cuGraphLaunch(r.graph, s.c()))
}

// destroy frees the recording. Destroying twice does nothing.
func (r *recording) destroy() error {
	if r.graph == nil {
		return nil
	}
	err := failed("free recorded work", C.cuGraphExecDestroy(r.graph))
	r.graph = nil
	return err
}
