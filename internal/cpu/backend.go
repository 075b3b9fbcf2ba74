// Package cpu runs programs on the processor: wide 3x3 convolutions by Winograd's algorithm, some gradients of weights by products of its own, the others
// and matrix products by oneDNN, all else by fused vectorised loops of its own (AVX2 or AVX-512, chosen at run time). Feature maps are
// kept NHWC: with oneDNN 3.2 its convolutions are then about a tenth faster than on its blocked
// layouts, and our loops need no second form. Convolution weights lie in the layout oneDNN prefers.
package cpu

/*
#cgo CXXFLAGS: -std=c++17 -O3 -fopenmp -Wall
#cgo CFLAGS: -I${SRCDIR}/../../.deps/onednn/include
#cgo CXXFLAGS: -I${SRCDIR}/../../.deps/onednn/include
#cgo LDFLAGS: -L${SRCDIR}/../../.deps/onednn/lib -ldnnl -lgomp -lm
#cgo LDFLAGS: -Wl,-rpath,${SRCDIR}/../../.deps/onednn/lib
#include "kernels.h"
#include "onednn.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"senet/internal/backend"
	"senet/internal/graph"
)

// Options configures New.
type Options struct {
	Threads int  // 0: as many as GOMAXPROCS, which follows the container's limit
	AVX2    bool // do not use AVX-512 in our own loops even where it is there; oneDNN chooses by itself
	// Collective joins the ranks of a job; nil for one that is alone. All must have processors for which oneDNN lays weights
	// alike, see backend.Fingerprinter. The backend calls it from one goroutine, while a phase runs.
	Collective backend.Collective
}

// Backend is the processor with its oneDNN engine.
type Backend struct {
	thread     *thread
	threads    int
	isa        C.int
	engine     *C.senet_engine
	collective backend.Collective // nil for a rank that is alone
}

// New opens the CPU backend. It fails on processors without AVX2 and FMA.
func New(o Options) (*Backend, error) {
	b := &Backend{threads: o.Threads, isa: C.senet_isa_best(), collective: o.Collective}
	if b.threads < 1 {
		b.threads = runtime.GOMAXPROCS(0)
	}
	if b.isa < 0 {
		return nil, fmt.Errorf("cpu: %w: the processor has no AVX2 and FMA, or ONEDNN_MAX_CPU_ISA forbids them", backend.ErrNoDevice)
	}
	if o.AVX2 {
		b.isa = C.SENET_AVX2
	}
	b.thread = newThread()
	err := b.thread.do(func() error {
		C.senet_threads(C.int(b.threads))
		return message(C.senet_engine_new(&b.engine))
	})
	if err != nil {
		b.thread.close()
		return nil, err
	}
	return b, nil
}

// LibraryVersion is oneDNN's, e.g. "3.2.0".
func LibraryVersion() string { return C.GoString(C.senet_onednn_version()) }

// Name is "cpu".
func (b *Backend) Name() string { return "cpu" }

// Describe names the processor, the instruction set of our own loops, the threads and the library.
func (b *Backend) Describe() string {
	isa := "AVX2"
	if b.isa == C.SENET_AVX512 {
		isa = "AVX-512"
	}
	threads := fmt.Sprintf("%d threads", b.threads)
	if b.threads == 1 {
		threads = "1 thread"
	}
	return fmt.Sprintf("cpu: %s, %s, %s, oneDNN %s", processor(), isa, threads, LibraryVersion())
}

// processor is the name that Linux gives the first core.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(info)) {
		if key, name, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(name)
		}
	}
	return "unknown processor"
}

// Compile prepares every primitive of p and allocates all its memory.
func (b *Backend) Compile(p *graph.Program) (backend.Executable, error) {
	if err := backend.CheckRanks("cpu", p, b.ranks()); err != nil {
		return nil, err
	}
	var e *executable
	err := b.thread.do(func() (err error) {
		e, err = compile(b, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Close ends the backend's thread. Closing twice does nothing.
func (b *Backend) Close() error {
	err := b.thread.do(func() error {
		C.senet_engine_free(b.engine)
		b.thread.close()
		return nil
	})
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// message turns a C message into an error; nil stays nil.
func message(m *C.char) error {
	if m == nil {
		return nil
	}
	return errors.New("onednn: " + C.GoString(m))
}
