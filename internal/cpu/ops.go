package cpu

// #include "kernels.h"
import "C"

import "senet/internal/graph"

// prepares has every op that this backend runs.
var prepares = map[graph.Op]prepare{
	graph.Conv:           conv,
	graph.ConvGradInput:  convGradInput,
	graph.ConvGradWeight: convGradWeight,
	graph.FoldBN:         foldBN,
	graph.Linear:         linear,
	graph.LinearGrad:     linearGrad,

	graph.Normalize:               normalize,
	graph.BatchNorm:               batchNorm,
	graph.BatchNormGrad:           batchNormGrad,
	graph.BNSEAddReLU:             bnSEAddReLU,
	graph.BNSEAddReLUGrad:         bnSEAddReLUGrad,
	graph.ReLU:                    elementwise(func(a *C.senet_elementwise_args) { C.senet_relu(a) }),
	graph.ReLUGrad:                elementwise(func(a *C.senet_elementwise_args) { C.senet_relu_grad(a) }),
	graph.Sigmoid:                 elementwise(func(a *C.senet_elementwise_args) { C.senet_sigmoid(a) }),
	graph.SigmoidGrad:             elementwise(func(a *C.senet_elementwise_args) { C.senet_sigmoid_grad(a) }),
	graph.HardSigmoid:             elementwise(func(a *C.senet_elementwise_args) { C.senet_hard_sigmoid(a) }),
	graph.HardSigmoidGrad:         elementwise(func(a *C.senet_elementwise_args) { C.senet_hard_sigmoid_grad(a) }),
	graph.Tanh:                    elementwise(func(a *C.senet_elementwise_args) { C.senet_tanh(a) }),
	graph.TanhGrad:                elementwise(func(a *C.senet_elementwise_args) { C.senet_tanh_grad(a) }),
	graph.Dropout:                 dropout,
	graph.DropoutGrad:             dropout,
	graph.Concat:                  concat,
	graph.ConcatGrad:              concatGrad,
	graph.Add:                     elementwise(func(a *C.senet_elementwise_args) { C.senet_add(a) }),
	graph.GlobalAvgPool:           globalAvgPool,
	graph.GlobalAvgPoolGrad:       globalAvgPoolGrad,
	graph.GlobalMaxPool:           globalMaxPool,
	graph.GlobalMaxPoolGrad:       globalMaxPoolGrad,
	graph.AvgPool:                 avgPool,
	graph.AvgPoolGrad:             avgPoolGrad,
	graph.Scale:                   scale,
	graph.ScaleGrad:               scaleGrad,
	graph.MaxPool:                 maxPool,
	graph.MaxPoolGrad:             maxPoolGrad,
	graph.SoftmaxCrossEntropy:     softmaxCrossEntropy,
	graph.SoftmaxCrossEntropyGrad: softmaxCrossEntropyGrad,
	graph.Accuracy:                accuracy,
	graph.EarlySqueeze:            earlySqueeze,
	graph.Excitation:              excitation,
	graph.RunningStats:            runningStats,
	graph.SGD:                     sgd,
	graph.GlobalNorm:              globalNorm,
}
