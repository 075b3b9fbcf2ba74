package train

import "math"

// Schedule gives the learning rate as a pure function of the global step, so a resumed
// run cannot drift: linear warm-up from Base/WarmupSteps to Base, then half a cosine from Base
// that reaches Min just after the last step (Loshchilov and Hutter 2017, without restarts).
type Schedule struct {
	Base, Min          float64
	WarmupSteps, Steps int
}

// At is the learning rate of a step, the first being 0. Past the end it stays at Min.
func (s Schedule) At(step int) float64 {
	if step < s.WarmupSteps {
		return s.Base * float64(step+1) / float64(s.WarmupSteps)
	}
	if step >= s.Steps {
		return s.Min
	}
	done := float64(step-s.WarmupSteps) / float64(s.Steps-s.WarmupSteps)
	return s.Min + (s.Base-s.Min)*(1+math.Cos(math.Pi*done))/2
}
