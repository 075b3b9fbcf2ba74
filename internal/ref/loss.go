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

// target is the smoothed probability that class k should have in a row of that label.
func target(k, classes int, label, smoothing float64) float64 {
	t := smoothing / float64(classes)
	if float64(k) == label {
		t += 1 - smoothing
	}
	return t
}

func softmaxCrossEntropy(o operands) {
	logits, labels, loss, probabilities := o.in[0], o.in[1], o.out[0], o.out[1]
	k := o.node.In[0].Shape[1]
	smoothing := float64(o.node.Attr.(graph.LossAttr).Smoothing)
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
				loss[0] -= target(j, k, label, smoothing) * (x - top - math.Log(sum)) / counted(labels)
			}
		}
	}
}

func softmaxCrossEntropyGrad(o operands) {
	probabilities, labels, dlogits := o.in[0], o.in[1], o.out[0]
	k := o.node.In[0].Shape[1]
	smoothing := float64(o.node.Attr.(graph.LossAttr).Smoothing)
	for i, p := range probabilities {
		label := labels[i/k]
		dlogits[i] = 0
		if label >= 0 {
			dlogits[i] = (p - target(i%k, k, label, smoothing)) / counted(labels)
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
