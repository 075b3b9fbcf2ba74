package cpu

// #include "kernels.h"
import "C"

import "senet/internal/graph"

// lossArgs are the sizes and labels of an op over logits (N, K).
func lossArgs(m *binding, logits, labels *graph.Value) *C.senet_loss_args {
	return &C.senet_loss_args{n: C.int(logits.Shape[0]), k: C.int(logits.Shape[1]), labels: (*C.int32_t)(m.at(labels)), scratch: m.scratch}
}

// targetArgs are lossArgs with mixed labels, and the loss scale of a gradient.
func targetArgs(m *binding, node *graph.Node) *C.senet_loss_args {
	a := lossArgs(m, node.In[0], node.In[1])
	a.mixed, a.share = (*C.int32_t)(m.at(node.In[2])), m.f32(node.In[3])
	if len(node.In) > 4 {
		a.loss_scale = m.f32(node.In[4])
	}
	switch attr := node.Attr.(type) {
	case graph.LossAttr:
		a.smoothing = C.float(attr.Smoothing)
	case graph.BinaryLossAttr:
		a.smoothing, a.threshold, a.sum_classes = C.float(attr.Smoothing), C.float(attr.Threshold), cbool(attr.SumClasses)
	}
	return a
}

func softmaxCrossEntropy(_ *compiler, node *graph.Node) (*op, error) {
	return kernel(int64(node.In[0].Shape[0])*8, func(m *binding) func() {
		a := targetArgs(m, node)
		a.logits, a.loss, a.out = m.f32(node.In[0]), m.f32(node.Out[0]), m.f32(node.Out[1])
		return func() { C.senet_softmax_cross_entropy(a) }
	}), nil
}

func softmaxCrossEntropyGrad(_ *compiler, node *graph.Node) (*op, error) {
	return kernel(0, func(m *binding) func() {
		a := targetArgs(m, node)
		a.probabilities, a.out = m.f32(node.In[0]), m.f32(node.Out[0])
		return func() { C.senet_softmax_cross_entropy_grad(a) }
	}), nil
}

func binaryCrossEntropy(_ *compiler, node *graph.Node) (*op, error) {
	return kernel(int64(node.In[0].Shape[0])*8, func(m *binding) func() {
		a := targetArgs(m, node)
		a.logits, a.loss = m.f32(node.In[0]), m.f32(node.Out[0])
		return func() { C.senet_binary_cross_entropy(a) }
	}), nil
}

func binaryCrossEntropyGrad(_ *compiler, node *graph.Node) (*op, error) {
	return kernel(0, func(m *binding) func() {
		a := targetArgs(m, node)
		a.logits, a.out = m.f32(node.In[0]), m.f32(node.Out[0])
		return func() { C.senet_binary_cross_entropy_grad(a) }
	}), nil
}

func accuracy(_ *compiler, node *graph.Node) (*op, error) {
	return kernel(0, func(m *binding) func() {
		a := lossArgs(m, node.In[0], node.In[1])
		a.logits, a.correct = m.f32(node.In[0]), (*C.int32_t)(m.at(node.Out[0]))
		return func() { C.senet_accuracy(a) }
	}), nil
}
