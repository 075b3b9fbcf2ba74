// Package onnx writes a network with its weights as an ONNX model (onnx.ai, opset 17): input "input" (batch, C, H, W), normalised
// float32, output "logits" (batch, classes), for any batch size. Squeezed values (N, C) are kept (N, C, 1, 1), so that the
// excitation's layers are 1x1 convolutions, the form that runtimes optimise.
//
//	err := onnx.Write(w, net, tensors, onnx.Options{Fold: true})
package onnx

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"senet/internal/graph"
)

// Options say what goes into the model beside the network.
type Options struct {
	Name     string
	Fold     bool              // fold batch norm into the convolutions
	Metadata map[string]string // for whoever runs the model: mean, standard deviation, classes
	Version  string            // of the program that writes
}

// The versions that the model declares.
const (
	irVersion = 8
	opset     = 17
)

// Write encodes the forward graph g from the output of its Normalize node to logits. Dropout is left out. tensors has every
// parameter and running statistic by name.
func Write(w io.Writer, g *graph.Graph, logits *graph.Value, tensors map[string]*tensor.Dense, o Options) error {
	e := &encoder{tensors: tensors, fold: o.Fold, names: map[*graph.Value]string{}, readers: map[*graph.Value]int{}}
	for _, n := range g.Nodes {
		for _, v := range n.In {
			e.readers[v]++
		}
	}
	for _, n := range g.Nodes {
		if n.Op == graph.SoftmaxCrossEntropy || n.Op == graph.Accuracy {
			continue
		}
		if err := e.add(n, g.Nodes); err != nil {
			return fmt.Errorf("onnx: %s %q: %w", n.Op, n.Name, err)
		}
	}
	e.node("Identity", "logits", []string{e.name(logits)}, "logits")
	e.graph.text(2, o.Name)
	e.graph.bytes(11, port("input", e.input))
	e.graph.bytes(12, port("logits", logits.Shape[1:]))
	_, err := w.Write(e.model(o))
	return err
}

// encoder collects a GraphProto.
type encoder struct {
	graph   message
	tensors map[string]*tensor.Dense
	fold    bool
	names   map[*graph.Value]string // of the ONNX value that holds it
	readers map[*graph.Value]int
	input   []int // (C, H, W)
}

func (e *encoder) model(o Options) message {
	var m, set message
	set.text(1, "")
	set.integer(2, opset)
	m.integer(1, irVersion)
	m.text(2, "senet")
	m.text(3, o.Version)
	m.bytes(7, e.graph)
	m.bytes(8, set)
	for _, key := range slices.Sorted(maps.Keys(o.Metadata)) {
		var entry message
		entry.text(1, key)
		entry.text(2, o.Metadata[key])
		m.bytes(14, entry)
	}
	return m
}

func (e *encoder) node(op, name string, in []string, out string, attributes ...attribute) {
	e.graph.bytes(1, node(op, name, in, out, attributes...))
}

// name is the ONNX value that holds v.
func (e *encoder) name(v *graph.Value) string { return e.names[v] }

// holds gives v, the first output of a node, the ONNX name of the node; stages of a network never share one.
func (e *encoder) holds(n *graph.Node) string {
	e.names[n.Out[0]] = n.Name
	return n.Name
}

// data is the float32 data of a parameter or running statistic.
func (e *encoder) data(v *graph.Value) ([]float32, error) {
	t := e.tensors[v.Name]
	if t == nil || !graph.Shape(t.Shape()).Equal(v.Shape) {
		return nil, fmt.Errorf("tensor %q is missing or not %s", v.Name, v.Shape)
	}
	return t.Data().([]float32), nil
}

// constants adds parameters under their own names, in the shape that they have here.
func (e *encoder) constants(vs ...*graph.Value) ([]string, error) {
	var names []string
	for _, v := range vs {
		if v == nil {
			continue
		}
		data, err := e.data(v)
		if err != nil {
			return nil, err
		}
		e.graph.bytes(5, constant(v.Name, v.Shape, data))
		names = append(names, v.Name)
	}
	return names, nil
}

// plain are the ops that need no attributes and no parameters.
var plain = map[graph.Op]string{
	graph.ReLU: "Relu", graph.Sigmoid: "Sigmoid", graph.Tanh: "Tanh", graph.Add: "Add", graph.Scale: "Mul",
	graph.GlobalAvgPool: "GlobalAveragePool", graph.GlobalMaxPool: "GlobalMaxPool",
}

func (e *encoder) add(n *graph.Node, all []*graph.Node) error {
	var in []string
	for _, v := range n.In {
		if v != nil && v.Role == graph.Activation {
			in = append(in, e.name(v))
		}
	}
	switch n.Op {
	case graph.Normalize:
		e.names[n.Out[0]] = "input"
		e.input = n.Out[0].Shape[1:]
	case graph.Dropout:
		e.names[n.Out[0]] = in[0]
	case graph.HardSigmoid:
		e.node("HardSigmoid", n.Name, in, e.holds(n), attribute{"alpha", float32(1.0 / 6)}, attribute{"beta", float32(0.5)})
	case graph.Concat:
		e.node("Concat", n.Name, in, e.holds(n), attribute{"axis", 1})
	case graph.MaxPool:
		e.node("MaxPool", n.Name, in, e.holds(n), pooling(n.Attr.(graph.PoolAttr))...)
	case graph.AvgPool:
		e.node("AveragePool", n.Name, in, e.holds(n), append(pooling(n.Attr.(graph.PoolAttr)), attribute{"count_include_pad", 1})...)
	case graph.Conv:
		return e.conv(n, in, all)
	case graph.BatchNorm:
		return e.batchNorm(n, in)
	case graph.Linear:
		return e.linear(n, in)
	default:
		op, ok := plain[n.Op]
		if !ok {
			return fmt.Errorf("has no ONNX form")
		}
		e.node(op, n.Name, in, e.holds(n))
	}
	return nil
}

func pooling(a graph.PoolAttr) []attribute {
	ceil := 0
	if a.Ceil {
		ceil = 1
	}
	return []attribute{
		{"kernel_shape", []int{a.Kernel, a.Kernel}},
		{"strides", []int{a.Stride, a.Stride}},
		{"pads", []int{a.Pad, a.Pad, a.Pad, a.Pad}},
		{"ceil_mode", ceil},
	}
}

func convolution(a graph.ConvAttr, w graph.Shape) []attribute {
	return []attribute{
		{"kernel_shape", []int(w[2:])}, {"strides", []int{a.Stride, a.Stride}}, {"pads", []int{a.Pad, a.Pad, a.Pad, a.Pad}}, {"group", a.Groups},
	}
}

func (e *encoder) conv(n *graph.Node, in []string, all []*graph.Node) error {
	a, w := n.Attr.(graph.ConvAttr), n.In[1]
	if bn := e.follower(n, all); e.fold && bn != nil {
		weight, bias, err := e.foldBN(n, bn)
		if err != nil {
			return err
		}
		e.graph.bytes(5, constant(w.Name, w.Shape, weight))
		e.graph.bytes(5, constant(n.Name+".bias", w.Shape[:1], bias))
		e.names[bn.Out[0]] = n.Name // the batch norm's output, when its turn comes
		e.node("Conv", n.Name, append(in, w.Name, n.Name+".bias"), n.Name, convolution(a, w.Shape)...)
		return nil
	}
	parameters, err := e.constants(n.In[1], n.In[2])
	if err != nil {
		return err
	}
	e.node("Conv", n.Name, append(in, parameters...), e.holds(n), convolution(a, w.Shape)...)
	return nil
}

// follower is the batch norm that alone reads the output of a convolution without bias, or nil.
func (e *encoder) follower(conv *graph.Node, all []*graph.Node) *graph.Node {
	if conv.In[2] != nil || e.readers[conv.Out[0]] != 1 {
		return nil
	}
	for _, n := range all {
		if n.Op == graph.BatchNorm && n.In[0] == conv.Out[0] {
			return n
		}
	}
	return nil
}

// foldBN is weight and bias of the convolution with the batch norm's running statistics.
func (e *encoder) foldBN(conv, bn *graph.Node) (weight, bias []float32, err error) {
	var vs [5][]float32
	for i, v := range []*graph.Value{conv.In[1], bn.In[1], bn.In[2], bn.In[3], bn.In[4]} {
		if vs[i], err = e.data(v); err != nil {
			return nil, nil, err
		}
	}
	w, gamma, beta, mean, variance := vs[0], vs[1], vs[2], vs[3], vs[4]
	eps := float64(bn.Attr.(graph.BatchNormAttr).Eps)
	per := len(w) / len(gamma)
	weight, bias = make([]float32, len(w)), make([]float32, len(gamma))
	for k := range gamma {
		scale := float64(gamma[k]) / math.Sqrt(float64(variance[k])+eps)
		for i := k * per; i < (k+1)*per; i++ {
			weight[i] = float32(float64(w[i]) * scale)
		}
		bias[k] = float32(float64(beta[k]) - float64(mean[k])*scale)
	}
	return weight, bias, nil
}

func (e *encoder) batchNorm(n *graph.Node, in []string) error {
	if e.names[n.Out[0]] != "" {
		return nil // folded
	}
	parameters, err := e.constants(n.In[1:5]...)
	if err != nil {
		return err
	}
	e.node("BatchNormalization", n.Name, append(in, parameters...), e.holds(n), attribute{"epsilon", n.Attr.(graph.BatchNormAttr).Eps})
	return nil
}

// linear is a 1x1 convolution where the weight is kept as one, else a matrix product of the flattened features.
func (e *encoder) linear(n *graph.Node, in []string) error {
	w := n.In[1]
	parameters, err := e.constants(w, n.In[2])
	if err != nil {
		return err
	}
	if len(w.Shape) == 4 {
		e.node("Conv", n.Name, append(in, parameters...), e.holds(n), convolution(graph.ConvAttr{Stride: 1, Groups: 1}, w.Shape)...)
		return nil
	}
	e.node("Flatten", n.Name+".flatten", in, n.Name+".flatten", attribute{"axis", 1})
	e.node("Gemm", n.Name, append([]string{n.Name + ".flatten"}, parameters...), e.holds(n), attribute{"transB", 1})
	return nil
}
