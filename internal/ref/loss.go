package ref

import (
	"math"

	"senet/internal/graph"
)

// counted is the number of rows that have a label.
func counted(labels []float64) float64 {
	n := 0.0
	for _, label := range labels {
		if label >= 0 {
			n++
		}
	}
	return n
}

// targets are the inputs of a loss after the first: labels, mixed labels and their share.
type targets struct {
	labels, mixed, share []float64
	smoothing            float64
	classes              int
}

func targetsOf(o operands, smoothing float32) targets {
	return targets{o.in[1], o.in[2], o.in[3], float64(smoothing), o.node.In[0].Shape[1]}
}

// at is the probability that class k should have in a row.
func (t targets) at(row, k int) float64 {
	share := 1.0
	if t.share != nil {
		share = t.share[row]
	}
	target := t.smoothing / float64(t.classes)
	if float64(k) == t.labels[row] {
		target += (1 - t.smoothing) * share
	}
	if t.mixed != nil && float64(k) == t.mixed[row] {
		target += (1 - t.smoothing) * (1 - share)
	}
	return target
}

func softmaxCrossEntropy(o operands) {
	logits, labels, loss, probabilities := o.in[0], o.in[1], o.out[0], o.out[1]
	t := targetsOf(o, o.node.Attr.(graph.LossAttr).Smoothing)
	k := t.classes
	loss[0] = 0
	for n, label := range labels {
		row, p := logits[n*k:][:k], probabilities[n*k:][:k]
		top := math.Inf(-1)
		for _, x := range row {
			top = max(top, x)
		}
		sum := 0.0
		for _, x := range row {
			sum += math.Exp(x - top)
		}
		for j, x := range row {
			p[j] = math.Exp(x-top) / sum
			if label >= 0 {
				loss[0] -= t.at(n, j) * (x - top - math.Log(sum)) / counted(labels)
			}
		}
	}
}

// lossScale is the optional operand of that name: 1 where it is absent.
func lossScale(scale []float64) float64 {
	if scale == nil {
		return 1
	}
	return scale[0]
}

func softmaxCrossEntropyGrad(o operands) {
	probabilities, scale, dlogits := o.in[0], lossScale(o.in[4]), o.out[0]
	t := targetsOf(o, o.node.Attr.(graph.LossAttr).Smoothing)
	for i, p := range probabilities {
		row := i / t.classes
		dlogits[i] = 0
		if t.labels[row] >= 0 {
			dlogits[i] = scale * (p - t.at(row, i%t.classes)) / counted(t.labels)
		}
	}
}

// binaryTargets is the target of each class of a row, and how many addends the mean is over.
func binaryTargets(o operands) (target func(row, k int) float64, addends float64) {
	a := o.node.Attr.(graph.BinaryLossAttr)
	t := targetsOf(o, a.Smoothing)
	addends = counted(t.labels)
	if !a.SumClasses {
		addends *= float64(t.classes)
	}
	return func(row, k int) float64 {
		x := t.at(row, k)
		switch {
		case a.Threshold == 0:
			return x
		case x > float64(a.Threshold):
			return 1
		}
		return 0
	}, addends
}

func binaryCrossEntropy(o operands) {
	logits, labels, loss := o.in[0], o.in[1], o.out[0]
	k := o.node.In[0].Shape[1]
	target, addends := binaryTargets(o)
	loss[0] = 0
	for i, x := range logits {
		if labels[i/k] >= 0 {
			loss[0] += (max(x, 0) - x*target(i/k, i%k) + math.Log1p(math.Exp(-math.Abs(x)))) / addends
		}
	}
}

func binaryCrossEntropyGrad(o operands) {
	logits, labels, scale, dlogits := o.in[0], o.in[1], lossScale(o.in[4]), o.out[0]
	k := o.node.In[0].Shape[1]
	target, addends := binaryTargets(o)
	for i, x := range logits {
		dlogits[i] = 0
		if labels[i/k] >= 0 {
			dlogits[i] = scale * (1/(1+math.Exp(-x)) - target(i/k, i%k)) / addends
		}
	}
}

func accuracy(o operands) {
	logits, labels, correct := o.in[0], o.in[1], o.out[0]
	k := o.node.In[0].Shape[1]
	clear(correct)
	for n, label := range labels {
		if label < 0 {
			continue
		}
		correct[0]++
		row := logits[n*k:][:k]
		own := row[int(label)]
		if math.IsNaN(own) {
			continue
		}
		rank := 0
		for j, x := range row {
			if x > own || x == own && j < int(label) {
				rank++
			}
		}
		if rank < 1 {
			correct[1]++
		}
		if rank < 5 {
			correct[2]++
		}
	}
}
