package train

import "senet/internal/checkpoint"

// lossScale keeps the gradients of float16 maps within their range. It is torch.amp.GradScaler with its defaults
// (https://docs.pytorch.org/docs/stable/amp.html): a step whose numbers are not finite is skipped and halves the scale,
// growAfter good steps in a row double it. Beyond, it stays within 1, where skipping helps no more, and maxLossScale, NVIDIA
// apex's limit.
type lossScale struct {
	factor float64
	good   int // steps in a row since the factor changed
}

const (
	firstLossScale = 1 << 16
	maxLossScale   = 1 << 24
	growAfter      = 2000
)

// precisionFloat16 is the value of the config's key precision that needs a loss scale.
const precisionFloat16 = "fp16"

// grow counts a good step.
func (s *lossScale) grow() {
	if s.good++; s.good == growAfter {
		s.factor, s.good = min(2*s.factor, maxLossScale), 0
	}
}

// shrink is for a step that is not finite; it reports whether a smaller scale may help.
func (s *lossScale) shrink() bool {
	s.good = 0
	if s.factor <= 1 {
		return false
	}
	s.factor = max(s.factor/2, 1)
	return true
}

// saved is what the checkpoint's manifest says of s, which may be nil.
func (s *lossScale) saved() *checkpoint.LossScale {
	if s == nil {
		return nil
	}
	return &checkpoint.LossScale{Factor: s.factor, GoodSteps: s.good}
}
