// Package weights brings the weights that other libraries saved into the networks of internal/model. The dialect of a
// state dict, its network, its number of classes and the form of its SE blocks are recognised from names and shapes.
//
//	found, err := weights.Import(tensors, "")
//	net, err := model.Build(found.Model, model.Options{SE: found.SE, Classes: found.Classes, ...})
package weights

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/tensor"

	"senet/internal/graph"
	"senet/internal/model"
)

// ErrUnfitting is wrapped by errors about tensors that belong to no network, or not to the one asked for.
var ErrUnfitting = errors.New("weights do not fit")

// Imported is a state dict in the names and shapes of internal/model.
type Imported struct {
	Dialect  Dialect
	Model    string
	Classes  int
	Channels int // of the image
	SE       model.SE
	Tensors  map[string]*tensor.Dense
	Renamed  map[string]string // from the names in Tensors to the file's, where they differ
	Others   []string          // further networks that the tensors fit: stride and pooling leave no trace in them
}

// Import recognises a state dict. name is the network it is for, or "" to find that out. Tensors that are missing, left
// over or of another shape are all listed in the error, which wraps ErrUnfitting.
func Import(ts map[string]*tensor.Dense, name string) (Imported, error) {
	if len(ts) == 0 {
		return Imported{}, fmt.Errorf("%w: there are no tensors", ErrUnfitting)
	}
	d, translated, renamed, err := translate(ts)
	if err != nil {
		return Imported{}, fmt.Errorf("%w: %w", ErrUnfitting, err)
	}
	found := Imported{Dialect: d, Tensors: translated, Renamed: renamed}
	if found.Classes, found.Channels, err = ends(translated); err != nil {
		return Imported{}, fmt.Errorf("%w: %w", ErrUnfitting, err)
	}
	if found.SE, err = excitation(translated); err != nil {
		return Imported{}, fmt.Errorf("%w: %w", ErrUnfitting, err)
	}
	if name != "" {
		found.Model = name
		return found, found.fit(name)
	}
	return found, found.find()
}

// find looks for the networks that the tensors fit and takes the first; of none, it reports on the one that comes closest.
func (f *Imported) find() error {
	closest, fewest := error(nil), -1
	for _, name := range model.Names() {
		problems, err := f.problems(name)
		if err != nil {
			continue // such a network cannot be built: too many stages, say
		}
		switch {
		case len(problems) == 0 && f.Model == "":
			f.Model = name
		case len(problems) == 0:
			f.Others = append(f.Others, name)
		case fewest < 0 || len(problems) < fewest:
			closest, fewest = unfitting(name, problems), len(problems)
		}
	}
	if f.Model == "" {
		return fmt.Errorf("%w; no known network comes closer", closest)
	}
	return f.fit(f.Model)
}

// fit verifies that the tensors are those of the named network, and gives those that another library keeps as matrices the
// shape they have here.
func (f *Imported) fit(name string) error {
	problems, err := f.problems(name)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return unfitting(name, problems)
	}
	values, err := f.values(name)
	if err != nil {
		return err
	}
	for _, v := range values {
		t := f.Tensors[v.Name]
		if graph.Shape(t.Shape()).Equal(v.Shape) {
			continue
		}
		t = t.Clone().(*tensor.Dense)
		if err := t.Reshape(v.Shape...); err != nil {
			return fmt.Errorf("tensor %q: %w", v.Name, err)
		}
		f.Tensors[v.Name] = t
	}
	return nil
}

func unfitting(name string, problems []error) error {
	return fmt.Errorf("%w %s: %d tensors differ:\n%w", ErrUnfitting, name, len(problems), errors.Join(problems...))
}

// problems lists what keeps the tensors from being those of the named network.
func (f *Imported) problems(name string) ([]error, error) {
	values, err := f.values(name)
	if err != nil {
		return nil, err
	}
	return differences(f.Tensors, values, func(have, want graph.Shape) bool { return squeezed(have).Equal(squeezed(want)) }), nil
}

// Check verifies that ts are the parameters and running statistics of net. Tensors that are missing, left over or of another
// shape are all listed in the error, which wraps ErrUnfitting.
func Check(ts map[string]*tensor.Dense, net *model.Network) error {
	if problems := Differences(ts, append(net.Graph.Params(), net.Graph.States()...)); len(problems) > 0 {
		return unfitting(net.Name, problems)
	}
	return nil
}

// Differences lists what keeps ts from being the tensors of values, by name: those missing, left over, or of another shape or
// type than float32.
func Differences(ts map[string]*tensor.Dense, values []*graph.Value) []error {
	return differences(ts, values, graph.Shape.Equal)
}

func differences(ts map[string]*tensor.Dense, values []*graph.Value, equal func(have, want graph.Shape) bool) []error {
	var problems []error
	known := map[string]bool{}
	for _, v := range values {
		known[v.Name] = true
		t := ts[v.Name]
		switch {
		case t == nil:
			problems = append(problems, fmt.Errorf("tensor %q is missing, want %s", v.Name, v.Shape))
		case t.Dtype() != tensor.Float32:
			problems = append(problems, fmt.Errorf("tensor %q: want float32, file has %s", v.Name, t.Dtype()))
		case !equal(graph.Shape(t.Shape()), v.Shape):
			problems = append(problems, fmt.Errorf("tensor %q: want %s, file has %s", v.Name, v.Shape, graph.Shape(t.Shape())))
		}
	}
	for _, extra := range slices.Sorted(maps.Keys(ts)) {
		if !known[extra] {
			problems = append(problems, fmt.Errorf("tensor %q %s is not part of the network", extra, graph.Shape(ts[extra].Shape())))
		}
	}
	return problems
}

// squeezed is a shape without trailing ones: a fully connected layer may be kept (O, I) or (O, I, 1, 1).
func squeezed(s graph.Shape) graph.Shape {
	for len(s) > 2 && s[len(s)-1] == 1 {
		s = s[:len(s)-1]
	}
	return s
}

// values are the parameters and running statistics of the named network.
func (f *Imported) values(name string) ([]*graph.Value, error) {
	const size = 64 // any that every network takes: no parameter's shape depends on it
	mean, std := make([]float32, f.Channels), slices.Repeat([]float32{1}, f.Channels)
	net, err := model.Build(name, model.Options{
		Batch: 1, Height: size, Width: size, Channels: f.Channels, Mean: mean, Std: std, Classes: f.Classes, SE: f.SE,
	})
	if err != nil {
		return nil, err
	}
	if model.HasSE(name) != (len(f.SE.Stages) > 0) {
		return nil, fmt.Errorf("%w: of %s and the tensors one has SE blocks, the other has none", ErrUnfitting, name)
	}
	return append(net.Graph.Params(), net.Graph.States()...), nil
}
