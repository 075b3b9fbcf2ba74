package graph

// Op names an operation. The same stem names it in ref, cpu, kernels, cuda and the
// conformance suite. N images, C channels, H x W pixels, K classes or output channels,
// R hidden units of an SE block; all tensors are float32 unless said otherwise.
type Op string

// Forward operations of a network as it is built.
const (
	// Normalize: in image (N, H, W, C) uint8; out (N, C, H, W) = (x/255 - mean) / std. Attr NormalizeAttr.
	Normalize Op = "normalize"
	// Conv: in x (N, C, H, W), w (K, C/groups, R, S), bias (K) optional, gate (N, K) optional, residual (N, K, P, Q) optional;
	// out y (N, K, P, Q) = relu?(gate * (conv(x, w) + bias) + residual). Gate, residual and ReLU appear in inference only. Attr ConvAttr.
	Conv Op = "conv"
	// BatchNorm: in x (N, C, H, W), gamma (C), beta (C), running mean (C), running var (C);
	// out y (N, C, H, W), batch mean (C), biased batch variance (C). Normalises with the batch's statistics and reads no running ones. Attr BatchNormAttr.
	BatchNorm Op = "batch_norm"
	// ReLU: in x; out max(x, 0), any shape.
	ReLU Op = "relu"
	// Sigmoid: in x; out 1/(1+exp(-x)), any shape.
	Sigmoid Op = "sigmoid"
	// HardSigmoid: in x; out min(max(x + 3, 0), 6) / 6, any shape.
	HardSigmoid Op = "hard_sigmoid"
	// Tanh: in x; out tanh(x), any shape.
	Tanh Op = "tanh"
	// Add: in a (the residual branch), b (the shortcut), same shape; out a + b.
	Add Op = "add"
	// GlobalAvgPool: in x (N, C, H, W); out (N, C), the mean over pixels: the squeeze of an SE block.
	GlobalAvgPool Op = "global_avg_pool"
	// GlobalMaxPool: in x (N, C, H, W); out (N, C), the maximum over pixels, and its pixel (N, C) int32, the first on ties. NaN wins.
	GlobalMaxPool Op = "global_max_pool"
	// Linear: in x (N, I), w (O, I) or (O, I, 1, 1), bias (O) optional; out (N, O) = x w' + bias.
	Linear Op = "linear"
	// Scale: in x (N, C, H, W), gate (N, C); out gate * x.
	Scale Op = "scale"
	// MaxPool: in x (N, C, H, W); out y (N, C, P, Q), window position of the maximum (N, C, P, Q) uint8 = r*kernel + s, the first on ties
	// (optional: nil in inference). Padding never wins. Attr PoolAttr.
	MaxPool Op = "max_pool"
	// AvgPool: in x (N, C, H, W); out y (N, C, P, Q), the mean of each window; padding counts as zeros, what ceil mode adds beyond it does not. Attr PoolAttr.
	AvgPool Op = "avg_pool"
	// Concat: in any number of maps (N, Ci, H, W); out (N, sum of Ci, H, W), their channels in order. Attr ConcatAttr.
	Concat Op = "concat"
	// Dropout: in x of any shape, step (1) int32; out x / (1 - rate) where the draw for (seed, step, element) keeps it, else 0
	// (Dropped). Training only. Attr DropoutAttr.
	Dropout Op = "dropout"
	// SoftmaxCrossEntropy: in logits (N, K), labels (N) int32, -1 for rows to ignore, mixed labels (N) int32 and share (N) or both nil;
	// out loss (1), the mean over counted rows, probabilities (N, K). Without mixed labels the share is 1. No counted row gives loss 0.
	//	target = (1-e) (share onehot(label) + (1-share) onehot(mixed label)) + e/K                     (e: smoothing)
	//	loss of a row = - sum over classes of target log(probability)                 (as timm's mixup_target and SoftTargetCrossEntropy)
	// Attr LossAttr.
	SoftmaxCrossEntropy Op = "softmax_cross_entropy"
	// BinaryCrossEntropy: in as SoftmaxCrossEntropy's; out loss (1), the mean over counted rows and, unless SumClasses, classes, of
	//	- target log(sigmoid(logit)) - (1-target) log(1-sigmoid(logit))                                 (as timm.loss.BinaryCrossEntropy)
	// where the target of SoftmaxCrossEntropy is made 1 where above Threshold, 0 elsewhere, if that is not 0. Attr BinaryLossAttr.
	BinaryCrossEntropy Op = "binary_cross_entropy"
	// Accuracy: in logits (N, K), labels (N) int32; out (3) int32: counted rows, rows whose label is the top-1, in the top-5.
	// The rank of a label is the number of classes with a greater logit, plus those of equal logit and lower index; a NaN logit at the label is never right.
	Accuracy Op = "accuracy"
)

// The fused operation of training, and those of inference.
const (
	// BNSEAddReLU: the whole tail of a residual block after its last convolution, or plain batch norm (+ ReLU) with the rest absent.
	// In y (N, C, H, W), gamma (C), beta (C); w1 (R, C[, 1, 1]), b1 (R), w2 (C, R[, 1, 1]), b2 (C): nil without SE, biases nil without bias;
	// shortcut (N, C, H, W) or nil; its own gamma (C), beta (C): nil unless the shortcut is a raw projection to be normalised.
	// Out out (N, C, H, W), batch mean (C), biased variance (C); then nil where absent: per-image mean of y (N, C), hidden units after ReLU (N, R), gate (N, C);
	// the shortcut's batch mean (C) and variance (C).
	//	u = gamma (y - mean) / sqrt(var + eps) + beta;  z = mean over pixels of u;  gate = sigmoid(w2 relu(w1 z + b1) + b2)
	//	out = relu?(gate u + shortcut)
	// Attr BNSEAddReLUAttr.
	BNSEAddReLU Op = "bn_se_add_relu"
	// FoldBN (phase Prepare): in w (K, C/groups, R, S), gamma, beta, running mean, running var (K); out folded w, same shape, folded bias (K). Attr BatchNormAttr.
	FoldBN Op = "fold_bn"
	// FoldSqueeze (phase Prepare): in w, gamma, beta, running mean, running var as in FoldBN; w1 (J, K[, 1, 1]), b1 (J) or nil, the first
	// layer of an SE block behind that batch norm; out folded w1 (J, C, R, S) = w1 folded w, folded b1 (J) = w1 folded bias + b1:
	// the layer for early_squeeze to read what the convolution reads. Attr FoldSqueezeAttr.
	FoldSqueeze Op = "fold_squeeze"
	// EarlySqueeze: in x (N, C, H, W), w (K, C, R, S), bias (K); out (N, K), the mean over pixels of conv(x, w) + bias,
	// computed from sums of x over each window position without running the convolution. Attr EarlySqueezeAttr.
	EarlySqueeze Op = "early_squeeze"
	// Excitation: in h (N, R), the hidden units before their ReLU, w2 (C, R[, 1, 1]), b2 (C) or nil; out gate (N, C) = sigmoid(w2 relu(h) + b2).
	Excitation Op = "excitation"
)

// Gradient operations. d... is the gradient of the loss by ....
const (
	// ConvGradInput: in dy (N, K, P, Q), w; out dx (N, C, H, W). Attr ConvAttr.
	ConvGradInput Op = "conv_grad_input"
	// ConvGradWeight: in dy (N, K, P, Q), x (N, C, H, W); out dw, db (K) or nil. Attr ConvAttr.
	ConvGradWeight Op = "conv_grad_weight"
	// BatchNormGrad: in dy, x, gamma, mean, var; out dx, dgamma, dbeta. Attr BatchNormAttr.
	BatchNormGrad Op = "batch_norm_grad"
	// ReLUGrad: in dy, y (the output); out dx = dy where y > 0.
	ReLUGrad Op = "relu_grad"
	// SigmoidGrad: in dy, y (the output); out dx = dy y (1 - y).
	SigmoidGrad Op = "sigmoid_grad"
	// HardSigmoidGrad: in dy, y (the output); out dx = dy / 6 where 0 < y < 1.
	HardSigmoidGrad Op = "hard_sigmoid_grad"
	// TanhGrad: in dy, y (the output); out dx = dy (1 - y y).
	TanhGrad Op = "tanh_grad"
	// GlobalMaxPoolGrad: in dy (N, C), pixel (N, C) int32; out dx (N, C, H, W) = dy at the pixel, else 0.
	GlobalMaxPoolGrad Op = "global_max_pool_grad"
	// AvgPoolGrad: in dy (N, C, P, Q); out dx (N, C, H, W). Attr PoolAttr.
	AvgPoolGrad Op = "avg_pool_grad"
	// ConcatGrad: in dy (N, sum of Ci, H, W); out the stretch of channels of each map (N, Ci, H, W), nil where not wanted. Attr ConcatAttr.
	ConcatGrad Op = "concat_grad"
	// DropoutGrad: in dy, step (1) int32; out dx = dy / (1 - rate) where the forward kept the element, else 0. Attr DropoutAttr.
	DropoutGrad Op = "dropout_grad"
	// GlobalAvgPoolGrad: in dy (N, C); out dx (N, C, H, W) = dy / (H W).
	GlobalAvgPoolGrad Op = "global_avg_pool_grad"
	// LinearGrad: in dy (N, O), x (N, I), w; out dx (N, I) or nil, dw, db (O) or nil.
	LinearGrad Op = "linear_grad"
	// ScaleGrad: in dy, x (N, C, H, W), gate (N, C); out dx, dgate (N, C).
	ScaleGrad Op = "scale_grad"
	// MaxPoolGrad: in dy (N, C, P, Q), window position (N, C, P, Q) uint8; out dx (N, C, H, W). Attr PoolAttr.
	MaxPoolGrad Op = "max_pool_grad"
	// SoftmaxCrossEntropyGrad: in probabilities (N, K), labels (N), mixed labels (N) or nil, share (N) or nil, loss scale (1) or nil;
	// out dlogits (N, K) of the mean loss, times the scale. Attr LossAttr.
	SoftmaxCrossEntropyGrad Op = "softmax_cross_entropy_grad"
	// BinaryCrossEntropyGrad: in logits (N, K), then as SoftmaxCrossEntropyGrad; out likewise. Attr BinaryLossAttr.
	BinaryCrossEntropyGrad Op = "binary_cross_entropy_grad"
	// BNSEAddReLUGrad: in dout, second addend of dout or nil, out or nil (needed for the ReLU's mask when there is a shortcut),
	// y, gamma, beta, w1, b1, w2, b2, raw shortcut or nil (only a normalised one), shortcut gamma, beta, then the forward's outputs from batch mean on:
	// mean, var, per-image mean, hidden, gate, shortcut mean, shortcut var.
	// Out dy, dgamma, dbeta, dw1, db1, dw2, db2, dshortcut, dshortcut gamma, dshortcut beta; nil where absent or not wanted. Attr BNSEAddReLUAttr.
	BNSEAddReLUGrad Op = "bn_se_add_relu_grad"
	// GlobalNorm: in loss scale (1) or nil, then every parameter gradient; out (1), the square root of the sum of their squares,
	// summed in float64, divided by the scale.
	GlobalNorm Op = "global_norm"
	// AllReduce: in any number of float32 values; out the mean of each over the ranks of the job, of the same shape. The sums travel while the
	// nodes after it run; a node that reads one of its outputs waits for them. Out may be in: a state is then updated in place. Attr AllReduceAttr.
	AllReduce Op = "all_reduce"
)

// Operations of phases Accumulate and Update, run only after the step's numbers were found finite.
const (
	// RunningStats: in batch mean (C), biased variance (C); in and out running mean (C), running var (C):
	// running += momentum (batch - running), the variance made unbiased by count/(count-1). Attr RunningStatsAttr.
	RunningStats Op = "running_stats"
	// SGD: in as UpdateRate to UpdateGrads say; out param 0, momentum 0, param 1, momentum 1, ... updated in place. Attr SGDAttr.
	//	g = grad / scale min(1, clip / (norm + 1e-6))                         (as torch.nn.utils.clip_grad_norm_)
	//	d = g + decay param;  m = mu m + d;  param -= lr (nesterov: d + mu m; else m)      (as torch.optim.SGD)
	SGD Op = "sgd"
	// AdamW: in as SGD's; out step (1), the updates so far, then param, exp_avg, exp_avg_sq of each parameter, all updated in place.
	// Attr AdamAttr. With g as SGD's:
	//	step += 1;  c1 = 1 - beta1^step;  c2 = 1 - beta2^step
	//	m += (1 - beta1) (g - m);  v += (1 - beta2) (g g - v);  u = m / c1 / (sqrt(v / c2) + eps)
	//	param -= lr (u + decay param)                                                       (as torch.optim.AdamW)
	AdamW Op = "adamw"
	// LAMB: operands, attributes, g, m, v and u as AdamW's (You et al. 2020 in the form of NVIDIA's FusedLAMB, as timm.optim.Lamb).
	//	u += decay param;  r = |param| / |u|, norms over the tensor, but 1 where one of them is 0 and for parameters without decay
	//	param -= lr r u
	LAMB Op = "lamb"
	// GradSum (phase Accumulate): in loss scale (1) or nil, then every gradient; out count (1), then a sum of each gradient's shape, updated
	// in place: count += 1, sum += grad / scale.
	GradSum Op = "grad_sum"
	// Clear: out any number of float32 values, made 0.
	Clear Op = "clear"
	// EMA: in any number of float32 values; out the moving average of each, updated in place: average += (1-decay) (value - average)
	// (as timm.utils.ModelEmaV2). Attr EMAAttr.
	EMA Op = "ema"
)

// NormalizeAttr holds the mean and standard deviation of each channel for pixels scaled to [0, 1].
type NormalizeAttr struct{ Mean, Std []float32 }

// ConvAttr is a square-strided, symmetrically padded convolution.
type ConvAttr struct {
	Stride, Pad, Groups int
	ReLU                bool // inference: the epilogue ends in ReLU
}

// BatchNormAttr has the variance's guard and the running statistics' momentum (weight of the new batch). Sync, if above 1, is how many
// ranks the statistics are of: mean and variance, and in the gradient the sums that dx needs, are over the images of all of them,
// as many on each. dgamma and dbeta stay this rank's sums.
type BatchNormAttr struct {
	Eps, Momentum float32
	Sync          int
}

// FoldSqueezeAttr has the batch norm's guard of the variance and the groups of the convolution before it.
type FoldSqueezeAttr struct {
	Eps    float32
	Groups int
}

// EarlySqueezeAttr is that of the convolution whose output is squeezed.
type EarlySqueezeAttr struct{ Stride, Pad int }

// PoolAttr is a square pooling window; Ceil rounds the output size up (Caffe), starting no window in the padding.
type PoolAttr struct {
	Kernel, Stride, Pad int
	Ceil                bool
}

// DropoutAttr has the share of elements to drop, in [0, 1), and what its draws depend on beside the step.
type DropoutAttr struct {
	Rate float32
	Seed uint64
}

// Dropped reports whether element i is dropped in a step. The draw is a pure function of its arguments, the same on every
// backend: the top 24 bits of splitmix64 (Steele et al. 2014) over seed, step and element, as a fraction, are below the rate.
func (a DropoutAttr) Dropped(step int32, i int) bool {
	z := a.Seed + uint64(uint32(step))<<32 + uint64(i)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float32((z^z>>31)>>40)*0x1p-24 < a.Rate
}

// ConcatAttr has the channels of each map.
type ConcatAttr struct{ Channels []int }

// LossAttr has the label smoothing in [0, 1).
type LossAttr struct{ Smoothing float32 }

// BinaryLossAttr has the label smoothing in [0, 1), and the Threshold in [0, 1) above which a target becomes 1.
type BinaryLossAttr struct {
	Smoothing, Threshold float32
	SumClasses           bool
}

// BNSEAddReLUAttr configures the fused block tail; SE and shortcut are on where their inputs are given. Sync is BatchNormAttr's.
type BNSEAddReLUAttr struct {
	Eps, ShortcutEps float32
	ReLU             bool
	Sync             int
}

// RunningStatsAttr: Count is N*H*W, times the ranks whose images were normalised together: the number of values behind each statistic.
type RunningStatsAttr struct {
	Momentum float32
	Count    int
}

// AllReduceAttr: Half sends bfloat16 in place of float32.
type AllReduceAttr struct {
	Ranks int
	Half  bool
}

// SGDAttr: Decay[i] says whether weight decay applies to parameter i; Clip is read where there is a norm.
type SGDAttr struct {
	Momentum, WeightDecay, Clip float32
	Nesterov                    bool
	Decay                       []bool
}

// AdamAttr is AdamW's and LAMB's; Decay and Clip are as SGDAttr's. The betas are float64, since what they leave of 1 counts.
type AdamAttr struct {
	Beta1, Beta2           float64
	Eps, WeightDecay, Clip float32
	Decay                  []bool
}

// EMAAttr has the share of a moving average that an update keeps.
type EMAAttr struct{ Decay float64 }

// Positions of an optimiser's inputs: learning rate (1); loss scale (1), by which gradients are divided, or nil; their norm after
// that (1), or nil where they are not clipped; then every gradient.
const UpdateRate, UpdateScale, UpdateNorm, UpdateGrads = 0, 1, 2, 3

// Positions of BNSEAddReLU's inputs and outputs.
const (
	TailY, TailGamma, TailBeta                        = 0, 1, 2
	TailW1, TailB1, TailW2, TailB2                    = 3, 4, 5, 6
	TailShortcut, TailShortcutGamma, TailShortcutBeta = 7, 8, 9
	tailInputs                                        = 10
	TailOut, TailMean, TailVar                        = 0, 1, 2
	TailImageMean, TailHidden, TailGate               = 3, 4, 5
	TailShortcutMean, TailShortcutVar                 = 6, 7
	tailOutputs                                       = 8
)

// Positions of BNSEAddReLUGrad's inputs; its outputs stand in the order of TailY to TailShortcutBeta.
const (
	TailGradDOut, TailGradDOut2, TailGradOut = 0, 1, 2
	TailGradIn                               = 3                  // TailGradIn + TailY .. TailGradIn + TailShortcutBeta
	TailGradSaved                            = 3 + tailInputs - 1 // TailGradSaved + TailMean .. TailGradSaved + TailShortcutVar
	tailGradInputs                           = TailGradSaved + tailOutputs
)
