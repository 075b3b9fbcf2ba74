package ref

import "senet/internal/graph"

// ops has every op of graph, each under its own name.
var ops = map[graph.Op]func(operands){
	graph.Normalize:               normalize,
	graph.Conv:                    conv,
	graph.ConvGradInput:           convGradInput,
	graph.ConvGradWeight:          convGradWeight,
	graph.FoldBN:                  foldBN,
	graph.FoldSqueeze:             foldSqueeze,
	graph.EarlySqueeze:            earlySqueeze,
	graph.BatchNorm:               batchNorm,
	graph.BatchNormGrad:           batchNormGrad,
	graph.ReLU:                    relu,
	graph.ReLUGrad:                reluGrad,
	graph.Sigmoid:                 sigmoid,
	graph.SigmoidGrad:             sigmoidGrad,
	graph.HardSigmoid:             hardSigmoid,
	graph.HardSigmoidGrad:         hardSigmoidGrad,
	graph.Tanh:                    tanh,
	graph.TanhGrad:                tanhGrad,
	graph.Dropout:                 dropout,
	graph.DropoutGrad:             dropout,
	graph.Concat:                  concat,
	graph.ConcatGrad:              concatGrad,
	graph.Add:                     add,
	graph.Scale:                   scale,
	graph.ScaleGrad:               scaleGrad,
	graph.GlobalAvgPool:           globalAvgPool,
	graph.GlobalAvgPoolGrad:       globalAvgPoolGrad,
	graph.GlobalMaxPool:           globalMaxPool,
	graph.GlobalMaxPoolGrad:       globalMaxPoolGrad,
	graph.AvgPool:                 avgPool,
	graph.AvgPoolGrad:             avgPoolGrad,
	graph.MaxPool:                 maxPool,
	graph.MaxPoolGrad:             maxPoolGrad,
	graph.Linear:                  linear,
	graph.LinearGrad:              linearGrad,
	graph.Excitation:              excitation,
	graph.BNSEAddReLU:             bnSEAddReLU,
	graph.BNSEAddReLUGrad:         bnSEAddReLUGrad,
	graph.SoftmaxCrossEntropy:     softmaxCrossEntropy,
	graph.SoftmaxCrossEntropyGrad: softmaxCrossEntropyGrad,
	graph.BinaryCrossEntropy:      binaryCrossEntropy,
	graph.BinaryCrossEntropyGrad:  binaryCrossEntropyGrad,
	graph.Accuracy:                accuracy,
	graph.GlobalNorm:              globalNorm,
	graph.AllReduce:               allReduce,
	graph.RunningStats:            runningStats,
	graph.SGD:                     sgd,
	graph.AdamW:                   adam,
	graph.LAMB:                    adam,
	graph.GradSum:                 gradSum,
	graph.Clear:                   clearAll,
	graph.EMA:                     ema,
}

// dims are the sizes of a feature map (N, C, H, W) with its pixels in one number.
type dims struct{ n, c, hw int }

func dimsOf(v *graph.Value) dims {
	return dims{v.Shape[0], v.Shape[1], v.Shape[2] * v.Shape[3]}
}

func (d dims) elems() int { return d.n * d.c * d.hw }

// perChannel is the number of values that one channel has over the batch, N*H*W.
func (d dims) perChannel() float64 { return float64(d.n * d.hw) }

// each calls f for every element i of a map with its channel, and the index of its (image, channel) pair.
func (d dims) each(f func(i, channel, pair int)) {
	i := 0
	for pair := range d.n * d.c {
		channel := pair % d.c
		for range d.hw {
			f(i, channel, pair)
			i++
		}
	}
}
