package cuda

// #include "cudnn.h"
import "C"

import (
	"errors"
	"fmt"
	"strings"

	"senet/internal/kernels"
)

// convKind is a convolution or one of its gradients.
type convKind uint8

// Kinds of convolutions, and their operands x, w, y.
const (
	convForward    convKind = iota // x, weight, y
	convGradInput                  // dy, weight, dx
	convGradWeight                 // dy, x, dw
)

func (k convKind) String() string {
	return [...]string{"conv", "conv_grad_input", "conv_grad_weight"}[k]
}

// convPattern is a convolution of x (N, C, H, W) with a weight (K, C/groups, R, S) to y (N, K, P, Q), or a gradient of
// one; the key of a plan. Maps lie as (N, H, W, C), weights as (K, R, S, C/groups). Products are summed in float32.
type convPattern struct {
	kind                                           convKind
	n, c, h, w, k, r, s, p, q, stride, pad, groups int
	input, weight, output                          kernels.Type // element types of the operands x, w, y
	tf32                                           bool         // float32 maps may be multiplied as TF32
	// The forward's epilogue: y = relu?(gate (conv + bias) + residual), the gate (N, K) in float32. A bias of the output's
	// type gets engines compiled ahead, some 30; a gate, and a float32 bias beside 16-bit maps, those few that are
	// compiled for each convolution.
	bias, gate, residual, relu bool
	biasType                   kernels.Type
}

// String is the pattern as the key of a file.
func (p convPattern) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s n%d c%d h%d w%d k%d r%d s%d p%d q%d stride%d pad%d groups%d %s,%s,%s",
		p.kind, p.n, p.c, p.h, p.w, p.k, p.r, p.s, p.p, p.q, p.stride, p.pad, p.groups, p.input, p.weight, p.output)
	for _, part := range []struct {
		on   bool
		name string
	}{{p.tf32, "tf32"}, {p.residual, "residual"}, {p.bias, "bias:" + p.biasType.String()}, {p.gate, "gate"}, {p.relu, "relu"}} {
		if part.on {
			b.WriteString(" " + part.name)
		}
	}
	return b.String()
}

func (p convPattern) check() error {
	for _, d := range []int{p.n, p.c, p.h, p.w, p.k, p.r, p.s, p.p, p.q, p.stride, p.groups} {
		if d < 1 {
			return fmt.Errorf("%s: an extent is below 1", p)
		}
	}
	if p.pad < 0 || p.c%p.groups != 0 || p.k%p.groups != 0 ||
		(p.h+2*p.pad-p.r)/p.stride+1 != p.p || (p.w+2*p.pad-p.s)/p.stride+1 != p.q {
		return fmt.Errorf("%s: the extents do not fit together", p)
	}
	for _, t := range []kernels.Type{p.input, p.weight, p.output, p.biasType} {
		if t != kernels.F32 && t != kernels.BF16 && t != kernels.F16 {
			return fmt.Errorf("%s: elements of type %s", p, t)
		}
	}
	if p.kind != convForward && (p.bias || p.gate || p.residual || p.relu) {
		return fmt.Errorf("%s: a gradient has no epilogue", p)
	}
	return nil
}

// refuses says why an engine's numbers will not do, or "".
func (p convPattern) refuses(notes C.uint32_t) string {
	switch {
	case notes&C.SENET_CUDNN_NONDETERMINISTIC != 0:
		return "not deterministic"
	case notes&C.SENET_CUDNN_REDUCED_PRECISION != 0:
		return "sums in less than float32"
	case p.input != kernels.F32:
		return ""
	case notes&C.SENET_CUDNN_DOWN_CONVERT != 0:
		return "products in less than TF32"
	case notes&C.SENET_CUDNN_TENSOR_CORE != 0 && !p.tf32:
		return "products in TF32"
	}
	return ""
}

func (p convPattern) native() C.senet_cudnn_conv {
	i := func(n int) C.int64_t { return C.int64_t(n) }
	flag := func(on bool) C.int {
		if on {
			return 1
		}
		return 0
	}
	kinds := [...]C.int{C.SENET_CUDNN_FORWARD, C.SENET_CUDNN_GRAD_INPUT, C.SENET_CUDNN_GRAD_WEIGHT}
	types := map[kernels.Type]C.int{kernels.F32: C.SENET_CUDNN_F32, kernels.BF16: C.SENET_CUDNN_BF16, kernels.F16: C.SENET_CUDNN_F16}
	return C.senet_cudnn_conv{
		kind: kinds[p.kind],
		n:    i(p.n), c: i(p.c), h: i(p.h), w: i(p.w), k: i(p.k), r: i(p.r), s: i(p.s), p: i(p.p), q: i(p.q),
		stride: i(p.stride), pad: i(p.pad), groups: i(p.groups),
		input: types[p.input], weight: types[p.weight], output: types[p.output],
		bias: flag(p.bias), gate: flag(p.gate), residual: flag(p.residual), relu: flag(p.relu), bias_type: types[p.biasType],
	}
}

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

// maxCompiled is how many engines that NVRTC has to compile are prepared for p: each takes 0.3 to 2 s. A gate has no others,
// and a network only few such convolutions.
func (p convPattern) maxCompiled() int {
	if p.gate {
		return 6
	}
	return 2
}

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
