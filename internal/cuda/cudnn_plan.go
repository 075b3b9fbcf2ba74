package cuda

// #include "cudnn.h"
import "C"

import (
	"errors"
	"fmt"
	"strings"
)

// convEngine is one of cuDNN's ways to run a convolution: an implementation with its settings.
type convEngine struct {
	Index int64  `json:"engine"`
	Knobs []knob `json:"knobs,omitempty"`
}

type knob struct {
	Type  int   `json:"type"`
	Value int64 `json:"value"`
}

// String is the engine with its settings, e.g. "eng41_k2=1_k13=1".
func (e convEngine) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "eng%d", e.Index)
	for _, k := range e.Knobs {
		fmt.Fprintf(&b, "_k%d=%d", k.Type, k.Value)
	}
	return b.String()
}

// convPlan is a convolution that an engine is ready to run.
type convPlan struct {
	native   *C.senet_cudnn_plan
	conv     convPattern
	engine   convEngine
	bytes    int64
	compiled bool // by NVRTC, for this convolution
}

// errNoEngine: cuDNN cannot run the convolution as asked.
var errNoEngine = errors.New("cuDNN has no engine for")

// search hands the plans that can run p within limit bytes of workspace to take, those first that cuDNN expects to be the
// fastest, until take returns false. Each is take's to destroy. It fails if there is none.
func (c *cudnn) search(p convPattern, limit int64, take func(*convPlan) bool) error {
	if err := p.check(); err != nil {
		return err
	}
	var reasons []error
	refuse := func(err error) {
		if len(reasons) < 3 {
			reasons = append(reasons, err)
		}
	}
	taken, compiled, tried := 0, 0, map[string]bool{} // the heuristic repeats itself
	for _, fallback := range []C.int{0, 1} {
		engines, err := c.engines(p, fallback)
		if err != nil {
			refuse(err)
		}
		for i := range engines {
			e := &engines[i]
			if why := p.refuses(e.notes); why != "" {
				refuse(fmt.Errorf("engine %d: %s", e.index, why))
				continue
			}
			jit := e.behavior&C.SENET_CUDNN_COMPILED != 0
			if jit && compiled == p.maxCompiled() {
				continue
			}
			engine := engineOf(e)
			if tried[engine.String()] {
				continue
			}
			tried[engine.String()] = true
			plan, err := c.within(p, limit, engine)
			if err != nil {
				refuse(err)
				continue
			}
			if plan.compiled = jit; jit {
				compiled++
			}
			taken++
			if !take(plan) {
				return nil
			}
		}
		if taken > 0 {
			return nil
		}
	}
	if len(reasons) == 0 {
		return fmt.Errorf("%w %s", errNoEngine, p)
	}
	return fmt.Errorf("%w %s: %w", errNoEngine, p, errors.Join(reasons...))
}

// engines asks the heuristic.
func (c *cudnn) engines(p convPattern, fallback C.int) ([]C.senet_cudnn_engine, error) {
	conv, list, count := p.native(), make([]C.senet_cudnn_engine, 64), C.int(0)
	var e C.senet_cudnn_error
	if C.senet_cudnn_engines(c.native, &conv, fallback, &list[0], C.int(len(list)), &count, &e) != 0 {
		return nil, cudnnError(&e)
	}
	return list[:count], nil
}

func engineOf(e *C.senet_cudnn_engine) convEngine {
	out := convEngine{Index: int64(e.index)}
	for _, k := range e.knob[:e.knobs] {
		out.Knobs = append(out.Knobs, knob{int(k._type), int64(k.value)})
	}
	return out
}

// within prepares an engine.
func (c *cudnn) within(p convPattern, limit int64, engine convEngine) (*convPlan, error) {
	plan := &convPlan{conv: p, engine: engine}
	if len(engine.Knobs) > C.SENET_CUDNN_KNOBS {
		return nil, fmt.Errorf("engine %d: %d settings", engine.Index, len(engine.Knobs))
	}
	conv, native := p.native(), C.senet_cudnn_engine{index: C.int64_t(engine.Index), knobs: C.int(len(engine.Knobs))}
	for i, k := range engine.Knobs {
		native.knob[i]._type, native.knob[i].value = C.int(k.Type), C.int64_t(k.Value)
	}
	var bytes C.int64_t
	var e C.senet_cudnn_error
	if C.senet_cudnn_plan_new(c.native, &conv, &native, &plan.native, &bytes, &e) != 0 {
		return nil, fmt.Errorf("%s: %w", plan.name(), cudnnError(&e))
	}
	if plan.bytes = int64(bytes); plan.bytes > limit {
		plan.destroy()
		return nil, fmt.Errorf("%s wants %d bytes of workspace, more than %d", plan.name(), plan.bytes, limit)
	}
	return plan, nil
}

// plan prepares the first engine that can run p within limit bytes of workspace. An error that is errNoEngine says that
// there is none.
func (c *cudnn) plan(p convPattern, limit int64) (*convPlan, error) {
	var first *convPlan
	err := c.search(p, limit, func(pl *convPlan) bool { first = pl; return false })
	return first, err
}

// candidates prepares all engines that cuDNN suggests for p, the likely fastest first.
func (c *cudnn) candidates(p convPattern, limit int64) ([]*convPlan, error) {
	var all []*convPlan
	err := c.search(p, limit, func(pl *convPlan) bool { all = append(all, pl); return true })
	return all, err
}

// workspace is the bytes of workspace that a run needs.
func (pl *convPlan) workspace() int64 { return pl.bytes }

// name is the engine's.
func (pl *convPlan) name() string { return pl.engine.String() }

// destroy frees the plan. Its runs are freed before.
func (pl *convPlan) destroy() { C.senet_cudnn_plan_free(pl.native) }

// convRun is a plan with the addresses of its operands.
type convRun struct {
	native *C.senet_cudnn_run
	failed C.senet_cudnn_error
}

// convOperands are addresses on the device: of x, w and y, which convKind names, of what the pattern has of an epilogue, else
// 0, and of workspace() bytes.
type convOperands struct{ x, w, y, bias, gate, residual, workspace uint64 }

// bind sets the addresses.
func (pl *convPlan) bind(at convOperands) (*convRun, error) {
	for _, a := range []struct {
		name    string
		address uint64
		used    bool
	}{
		{"x", at.x, true},
		{"w", at.w, true},
		{"y", at.y, true},
		{"bias", at.bias, pl.conv.bias},
		{"gate", at.gate, pl.conv.gate},
		{"residual", at.residual, pl.conv.residual},
		{"workspace", at.workspace, pl.bytes > 0},
	} {
		if a.used != (a.address != 0) && a.name != "workspace" || a.used && a.address == 0 || a.address%C.SENET_CUDNN_ALIGNMENT != 0 {
			return nil, fmt.Errorf("%s: %s lies at %#x: want a multiple of %d, and 0 only for what the convolution lacks",
				pl.conv, a.name, a.address, C.SENET_CUDNN_ALIGNMENT)
		}
	}
	operands := C.senet_cudnn_operands{
		input: C.uint64_t(at.x), weight: C.uint64_t(at.w), output: C.uint64_t(at.y),
		bias: C.uint64_t(at.bias), gate: C.uint64_t(at.gate), residual: C.uint64_t(at.residual),
	}
	r := &convRun{}
	if C.senet_cudnn_run_new(pl.native, &operands, C.uint64_t(at.workspace), &r.native, &r.failed) != 0 {
		return nil, fmt.Errorf("%s: %w", pl.conv, cudnnError(&r.failed))
	}
	return r, nil
}

// run launches the convolution on the handle's stream, which may be in capture. It allocates nothing.
func (r *convRun) run() error {
	if C.senet_cudnn_run_now(r.native, &r.failed) != 0 {
		return cudnnError(&r.failed)
	}
	return nil
}

func (r *convRun) free() { C.senet_cudnn_run_free(r.native) }
