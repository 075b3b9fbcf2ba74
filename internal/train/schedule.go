package train

import (
	"math"

	"senet/internal/config"
)

// Schedule gives the learning rate as a pure function of the update, so a resumed run cannot drift: a rise to Base, then a
// fall that reaches Min just after the last update, that of OneCycle with it.
type Schedule struct {
	Kind               ScheduleKind
	Base, Min          float64
	WarmupSteps, Steps int     // updates
	StepLength         float64 // of StepDecay: updates from one drop to the next, counted from the first update
	StepFactor         float64
	Power              float64 // of Polynomial
}

// ScheduleKind is the form of the fall.
type ScheduleKind string

// Schedules under their names in configs.
const (
	Cosine     ScheduleKind = "cosine"     // half a cosine (Loshchilov and Hutter 2017, without restarts)
	StepDecay  ScheduleKind = "step"       // Base StepFactor^drops, never below Min
	OneCycle   ScheduleKind = "one-cycle"  // torch.optim.lr_scheduler.OneCycleLR: both ways along half a cosine, from Base/25
	Polynomial ScheduleKind = "polynomial" // a power of the share that is left
)

// oneCycleStart is what OneCycleLR divides the peak by for its first rate.
const oneCycleStart = 25

// newSchedule is the config's, for epochs of so many updates. A fraction of an epoch is rounded to whole updates.
func newSchedule(c config.Train, updates int) Schedule {
	perEpoch := float64(updates)
	return Schedule{
		Kind: ScheduleKind(c.Schedule), Base: c.LR, Min: c.MinLR,
		WarmupSteps: int(math.Round(c.WarmupEpochs * perEpoch)), Steps: c.Epochs * updates,
		StepLength: max(1, math.Round(c.StepEpochs*perEpoch)), StepFactor: c.StepFactor, Power: c.Power,
	}
}

// At is the learning rate of an update, the first being 0. Past the end it stays at Min.
func (s Schedule) At(step int) float64 {
	switch {
	case step >= s.Steps && s.Kind != StepDecay:
		return s.Min
	case s.Kind == OneCycle:
		return s.oneCycle(step)
	case step < s.WarmupSteps:
		return s.Base * float64(step+1) / float64(s.WarmupSteps)
	case s.Kind == StepDecay:
		return max(s.Min, s.Base*math.Pow(s.StepFactor, math.Floor(float64(step)/s.StepLength)))
	}
	done := float64(step-s.WarmupSteps) / float64(s.Steps-s.WarmupSteps)
	if s.Kind == Polynomial {
		return s.Min + (s.Base-s.Min)*math.Pow(1-done, s.Power)
	}
	return halfCosine(s.Base, s.Min, done)
}

// oneCycle peaks at the last update of the rise and ends at Min with the last of all.
func (s Schedule) oneCycle(step int) float64 {
	peak := s.WarmupSteps - 1
	if step < peak {
		return halfCosine(s.Base/oneCycleStart, s.Base, float64(step)/float64(peak))
	}
	return halfCosine(s.Base, s.Min, float64(step-peak)/float64(max(s.Steps-1-peak, 1)))
}

// halfCosine goes from one rate to another by the share done.
func halfCosine(from, to, done float64) float64 {
	return to + (from-to)*(1+math.Cos(math.Pi*done))/2
}
