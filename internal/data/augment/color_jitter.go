package augment

import "math/rand/v2"

// draw appends the ops that are on, in random order. It takes the same numbers from r whichever those are.
func (j ColorJitter) draw(r *rand.Rand, ops []op) []op {
	about := func(centre, by float64) float64 {
		lo, hi := centre-by, centre+by
		if centre == 1 {
			lo = max(lo, 0)
		}
		return lo + float64((hi-lo)*r.Float64())
	}
	all := [4]struct {
		by float64
		op
	}{
		{j.Brightness, op{kind: brightness, value: about(1, j.Brightness)}},
		{j.Contrast, op{kind: contrast, value: about(1, j.Contrast)}},
		{j.Saturation, op{kind: color, value: about(1, j.Saturation)}},
		{j.Hue, op{kind: hue, value: about(0, j.Hue) * 255}},
	}
	for i := len(all) - 1; i > 0; i-- {
		k := r.IntN(i + 1)
		all[i], all[k] = all[k], all[i]
	}
	for _, a := range all {
		if a.by > 0 {
			ops = append(ops, a.op)
		}
	}
	return ops
}
