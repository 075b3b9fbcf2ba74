package train

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
)

// poisoner is a backend whose training programs have a number added where site says: 0, but x in the given steps. The
// arithmetic of the step carries it on from there.
type poisoner struct {
	backend.Backend
	site  string // "input", "loss" or "gradient", of one parameter
	x     float64
	steps []int
}

// poisoned is an executable of a poisoner.
type poisoned struct {
	backend.Executable
	poisoner *poisoner
	count    *graph.Value // the program's step count
	dose     *graph.Value // what is added
	step     int          // from 1
}

// victim is the parameter whose gradient is poisoned.
const victim = "layer2.0.bn1.weight"

func (b *poisoner) Compile(p *graph.Program) (backend.Executable, error) {
	if p.Grads == nil {
		return b.Backend.Compile(p)
	}
	dose := b.poison(p)
	exe, err := b.Backend.Compile(p)
	return &poisoned{Executable: exe, poisoner: b, count: p.StepCount, dose: dose}, err
}

// poison lets all that read the site read the sum of it and of the input that it returns.
func (b *poisoner) poison(p *graph.Program) *graph.Value {
	step := &p.Phases[graph.Step]
	var v *graph.Value
	switch b.site {
	case "input":
		v = (*step)[slices.IndexFunc(*step, func(n *graph.Node) bool { return n.Op == graph.Normalize })].Out[0]
	case "loss":
		v = p.Loss
	case "gradient":
		v = p.Grads[p.Find(victim)]
	}
	add := func(name string, role graph.Role) *graph.Value {
		x := &graph.Value{ID: len(p.Values), Name: name, Shape: v.Shape, Role: role}
		p.Values = append(p.Values, x)
		return x
	}
	dose, sum := add("dose", graph.Input), add("sum", graph.Activation)
	writes := func(n *graph.Node) bool { return slices.Contains(n.Out, v) }
	at := slices.IndexFunc(*step, writes) + 1
	*step = slices.Insert(*step, at, &graph.Node{Op: graph.Add, Name: "poison", In: []*graph.Value{v, dose}, Out: []*graph.Value{sum}})
	for i, n := range p.Nodes() {
		for j := range n.In {
			if n.In[j] == v && i != at {
				n.In[j] = sum
			}
		}
	}
	if b.site == "loss" {
		p.Loss = sum
	}
	if b.site == "gradient" {
		p.Grads[p.Find(victim)] = sum
		if i := slices.Index(p.Kept, v); i >= 0 {
			p.Kept[i] = sum
		}
	}
	return dose
}

func (e *poisoned) Write(v *graph.Value, t *tensor.Dense) error {
	if v == e.count {
		e.step = int(t.Data().([]int32)[0]) + 1
	}
	return e.Executable.Write(v, t)
}

func (e *poisoned) Run(ph graph.Phase) error {
	if ph == graph.Step {
		x := make([]float32, e.dose.Shape.Elems())
		if slices.Contains(e.poisoner.steps, e.step) {
			for i := range x {
				x[i] = float32(e.poisoner.x)
			}
		}
		if err := e.Executable.Write(e.dose, tensor.New(tensor.WithShape(e.dose.Shape...), tensor.WithBacking(x))); err != nil {
			return err
		}
	}
	return e.Executable.Run(ph)
}

// TestBadNumbersLeaveTheStateAsItIs: whatever arises where in a step, the first, the second, one in the middle, one among
// those of an update, changes no bit of parameters, running statistics and optimiser, and the steps after it train on.
func TestBadNumbersLeaveTheStateAsItIs(t *testing.T) {
	for _, c := range []struct {
		name         string
		sets         string
		bad, updates []int
	}{
		{"each step updates", "train.accumulate=1", []int{1, 2, 6}, []int{3, 4, 5, 7, 8}},
		{"three steps to an update, a bad one within", "train.accumulate=3", []int{2, 6}, []int{3, 4, 7, 8}},
	} {
		t.Run(c.name, func(t *testing.T) { badNumbers(t, c.sets, c.bad, c.updates) })
	}
}

func badNumbers(t *testing.T, sets string, bad, updates []int) {
	for _, site := range []string{"input", "loss", "gradient"} {
		for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			t.Run(fmt.Sprintf("%s, %v", site, x), func(t *testing.T) {
				w := &watch{t: t, before: map[int]snapshot{}}
				b := newSpy(t)
				b.Backend, b.fault = &poisoner{b.Backend, site, x, bad}, w.see
				s, r := smallRun(t, b, t.TempDir(), "train.epochs=2", "train.warmup_epochs=0", sets)
				result, err := Run(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(w.updates, updates) || result.BadSteps != len(bad) {
					t.Errorf("updates ran in steps %v, %d bad steps; want %v", w.updates, result.BadSteps, updates)
				}
				for i := range r.steps {
					step, changed := i+1, w.changed(i+1)
					if slices.Contains(bad, step) && changed != 0 {
						t.Errorf("step %d: %d values changed", step, changed)
					}
					if all := len(w.before[step]); slices.Contains(updates, step) && changed < all/4 {
						t.Errorf("step %d: %d of %d values changed, want an update", step, changed, all)
					}
				}
			})
		}
	}
}
