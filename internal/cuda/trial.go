package cuda

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"senet/internal/graph"
	"senet/internal/kernels"
)

// workspaceLimit is the most that an engine of cuDNN may take beside its operands: those of 16-bit maps need a tenth at
// most, and those of float32 maps that want a gigabyte would double the memory of a small batch.
const workspaceLimit = 256 << 20

// trial runs one convolution, alone and with operands of its own, by our kernels and by engines of cuDNN.
type trial struct {
	b         *Backend
	alone     *executable
	c         *convolution
	workspace address // of held bytes, as many as an engine wanted
	held      int64
	memory    address // of the three below
	bias      address // in the type that the engine reads
	want      address // what our own kernels make of the operands
	most      address // (TrialBlocks, 2)
}

// choose finds the engine for n: the one chosen before, or by trial. It is nil where our own kernels are to run n. Where there is no
// memory for a trial, beside another network, it is the one that cuDNN expects to be the fastest.
func (b *Backend) choose(n *graph.Node) (_ *convPlan, err error) {
	pattern := convolutionOf(n, b.precision).pattern
	if plan, ok := b.library.remembered(pattern, workspaceLimit); ok {
		return plan, nil
	}
	t := &trial{b: b}
	defer func() { err = errors.Join(err, t.free()) }()
	err = t.prepare(n)
	var full *OutOfMemory
	if errors.As(err, &full) {
		return b.library.plan(pattern, workspaceLimit)
	}
	if err != nil {
		return nil, err
	}
	own := t.own
	if !b.measure {
		own = nil
	}
	return b.library.choose(pattern, workspaceLimit, own, t.engine)
}

// prepare fills the operands and runs our own kernels once.
func (t *trial) prepare(n *graph.Node) (err error) {
	b := t.b
	if t.alone, err = compile(b, onlyNode(n), false); err != nil {
		return err
	}
	t.c = convolutionOf(t.alone.p.Phases[graph.Step][0], b.precision)
	p, y := t.c.pattern, t.c.y
	bias, want := roundUp(int64(p.k*p.biasType.Size())), roundUp(t.alone.planner.Bytes(y))
	if t.memory, err = b.device.alloc(bias + want + 8*kernels.TrialBlocks); err != nil {
		return err
	}
	t.bias = t.memory
	t.want = t.bias + address(bias)
	t.most = t.want + address(want)
	for seed, o := range []struct {
		v *graph.Value
		t kernels.Type
	}{{t.c.x, p.input}, {t.c.w, p.weight}, {t.c.bias, kernels.F32}, {t.c.gate, kernels.F32}, {t.c.residual, p.output}} {
		if o.v == nil {
			continue
		}
		if err := t.fill(o.t, t.alone.operand(o.v), o.v.Shape.Elems(), seed); err != nil {
			return err
		}
		if o.v == t.c.bias {
			if err := t.fill(p.biasType, uint64(t.bias), p.k, seed); err != nil {
				return err
			}
		}
	}
	if err := t.alone.issue(graph.Step); err != nil {
		return err
	}
	return b.compute.copy(t.want, address(t.alone.operand(y)), t.alone.planner.Bytes(y))
}

func (t *trial) fill(of kernels.Type, at uint64, count, seed int) error {
	return t.alone.launch(kernels.TrialFill(of, at, int64(count), seed))
}

// own is how long our own kernels take.
func (t *trial) own() (time.Duration, error) {
	return t.b.time(func() error { return t.alone.issue(graph.Step) })
}

// engine runs pl, and fails if its result is not that of our own kernels. It returns how long pl takes, where that is measured.
func (t *trial) engine(pl *convPlan) (time.Duration, error) {
	if err := t.reserve(pl.workspace()); err != nil {
		return 0, err
	}
	at := t.c.operands(t.alone, t.workspace)
	if at.bias != 0 {
		at.bias = uint64(t.bias)
	}
	run, err := pl.bind(at)
	if err != nil {
		return 0, err
	}
	defer run.free()
	if err := t.fill(t.c.pattern.output, at.y, t.c.y.Shape.Elems(), -1); err != nil { // what it leaves out shows
		return 0, err
	}
	if err := run.run(); err != nil {
		return 0, err
	}
	if err := t.compare(at.y); err != nil {
		return 0, err
	}
	if !t.b.measure {
		return 0, nil
	}
	return t.b.time(run.run)
}

// reserve makes the workspace so large.
func (t *trial) reserve(bytes int64) (err error) {
	if bytes <= t.held {
		return nil
	}
	if err := t.b.device.release(t.workspace); err != nil {
		return err
	}
	t.workspace, t.held = 0, 0
	if t.workspace, err = t.b.device.alloc(bytes); err == nil {
		t.held = bytes
	}
	return err
}

// errWrongResult: cuDNN and our own kernels make something else of the same operands.
var errWrongResult = errors.New("the result is not that of senet's own kernels")

// trialTolerance is how far two right results may be apart, of the greatest magnitude: both are rounded, to 2^-8 of themselves
// in bf16 and 2^-11 in fp16, TF32 rounds the factors to 2^-11, and sums of millions of float32 products differ by their order.
// An operand in the wrong place makes a distance near 1.
var trialTolerance = map[kernels.Type]float64{kernels.F32: 1e-2, kernels.BF16: 3e-2, kernels.F16: 1e-2}

// compare compares the engine's result at y with that of our own kernels.
func (t *trial) compare(y uint64) error {
	have := t.c.pattern.output
	elems := t.c.y.Shape.Elems()
	if err := t.alone.launch(kernels.TrialDiffer(have, t.alone.planner.Type(t.c.y), uint64(t.most), y, uint64(t.want), int64(elems))); err != nil {
		return err
	}
	words := make([]byte, 8*kernels.TrialBlocks)
	if err := t.alone.receive(words, t.most); err != nil {
		return err
	}
	var distance, magnitude float64
	for i := range kernels.TrialBlocks {
		number := func(at int) float64 {
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(words[8*i+at:])))
		}
		distance, magnitude = max(distance, number(0)), max(magnitude, number(4))
	}
	if !(distance <= trialTolerance[have]*magnitude) {
		return fmt.Errorf("%w: %.3g off, of %.3g", errWrongResult, distance, magnitude)
	}
	return nil
}

func (t *trial) free() error {
	var errs []error
	if t.alone != nil {
		errs = append(errs, t.alone.release())
	}
	return errors.Join(append(errs, t.b.device.release(t.workspace), t.b.device.release(t.memory))...)
}

// onlyNode is a program of n alone, its operands States.
func onlyNode(n *graph.Node) *graph.Program {
	p := &graph.Program{}
	of := map[*graph.Value]*graph.Value{nil: nil}
	for _, v := range slices.Concat(n.In, n.Out) {
		if _, done := of[v]; done {
			continue
		}
		own := *v
		own.ID, own.Role = len(p.Values), graph.State
		of[v] = &own
		p.Values = append(p.Values, &own)
	}
	alone := *n
	alone.In, alone.Out = make([]*graph.Value, len(n.In)), make([]*graph.Value, len(n.Out))
	for i, v := range n.In {
		alone.In[i] = of[v]
	}
	for i, v := range n.Out {
		alone.Out[i] = of[v]
	}
	p.Phases[graph.Step] = []*graph.Node{&alone}
	return p
}

// time is what a run of f takes on the device. f issues work to the compute stream and has done so before.
func (b *Backend) time(f func() error) (time.Duration, error) {
	const long = 5 * time.Millisecond
	once, err := b.stopwatch(f)
	if err != nil || once > long {
		return once, err
	}
	// A mean of replays, as in a step: issued by the host, short kernels would seem to take the time that this takes.
	const runs = 10
	r, err := b.compute.capture(func() error {
		for range runs {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	replay := func() error { return r.launch(b.compute) }
	took, err := time.Duration(0), replay() // warms up
	if err == nil {
		took, err = b.stopwatch(replay)
	}
	return took / runs, errors.Join(err, r.destroy())
}

// stopwatch is how long after what was issued before the work that f issues is done.
func (b *Backend) stopwatch(f func() error) (_ time.Duration, err error) {
	var marks [2]*event
	for i := range marks {
		m, err := b.device.newEvent(true)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, m.destroy()) }()
		marks[i] = m
	}
	if err := errors.Join(b.compute.record(marks[0]), f(), b.compute.record(marks[1]), marks[1].sync()); err != nil {
		return 0, err
	}
	return marks[1].since(marks[0])
}
