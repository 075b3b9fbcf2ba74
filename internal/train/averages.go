package train

import (
	"errors"
	"fmt"
	"slices"

	"senet/internal/graph"
	"senet/internal/weights"
)

// evaluated is what stands for v in the model that is evaluated and saved: its moving average, where there is one.
func (c *Compiled) evaluated(v *graph.Value) *graph.Value {
	if average := c.Program.EMA[v]; average != nil {
		return average
	}
	return v
}

// Model reads the model that is evaluated and saved: the values of the graph, or their moving averages under the same names.
func (c *Compiled) Model() (Tensors, error) {
	ts := Tensors{}
	for _, v := range c.ModelValues() {
		t, err := c.Read(c.evaluated(v))
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", v.Name, err)
		}
		ts[v.Name] = t
	}
	return ts, nil
}

// SetModel writes what Model reads. As Set it lists all that does not fit, and then writes nothing.
func (c *Compiled) SetModel(ts Tensors) error {
	vs := c.ModelValues()
	if problems := weights.Differences(ts, vs); len(problems) > 0 {
		return errors.Join(problems...)
	}
	for _, v := range vs {
		if err := c.Write(c.evaluated(v), ts[v.Name]); err != nil {
			return err
		}
	}
	return nil
}

// params are the parameters among ModelValues.
func (c *Compiled) params() []*graph.Value {
	return slices.DeleteFunc(c.ModelValues(), func(v *graph.Value) bool { return v.Role != graph.Param })
}

// copyAverages writes the parameters' moving averages over the parameters.
func (c *Compiled) copyAverages() error {
	for _, v := range c.params() {
		t, err := c.Read(c.evaluated(v))
		if err != nil {
			return err
		}
		if err := c.Write(v, t); err != nil {
			return err
		}
	}
	return nil
}

// stateValues are what training goes on from beside the model: the optimiser's states and, where the model is of averages,
// the values themselves.
func (c *Compiled) stateValues() []*graph.Value {
	vs := c.Program.OptimizerStates
	if c.Program.EMA != nil {
		vs = append(vs[:len(vs):len(vs)], c.ModelValues()...)
	}
	return vs
}

// State reads these.
func (c *Compiled) State() (Tensors, error) { return c.Get(c.stateValues()) }
