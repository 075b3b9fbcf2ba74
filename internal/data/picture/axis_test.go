package picture

import (
	"math/rand/v2"
	"testing"
)

// TestWeightsStayAmongTheInputs: the kernels read all taps of an output, and what lies beyond the inputs is not there.
func TestWeightsStayAmongTheInputs(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	var a axis
	for range 3000 {
		low := random.IntN(50)
		high, outputs := low+1+random.IntN(300), 1+random.IntN(300)
		first := random.IntN(outputs)
		step, reduce, f := []int{2, 4, 8}[random.IntN(3)], 1<<random.IntN(4), []filter{bilinear, bicubic}[random.IntN(2)]
		a.plan(f, low, high, reduce, outputs, first, first+1+random.IntN(outputs-first))
		a.fill(step)
		if a.from < low/reduce || a.to > (high+reduce-1)/reduce || a.taps%step != 0 {
			t.Fatalf("box %d to %d at 1/%d: inputs %d to %d in %d taps", low, high, reduce, a.from, a.to, a.taps)
		}
		inputs := a.to - a.from
		for i, from := range a.first {
			if from < 0 || int(from)+a.taps > max(inputs, (inputs+step-1)/step*step) {
				t.Fatalf("box %d to %d at 1/%d: output %d reads %d inputs from %d on, of %d", low, high, reduce, i, a.taps, from, inputs)
			}
			sum := 0
			for k := range a.taps {
				w := int(a.weights[i*2*a.taps+k])<<splitBits + int(a.weights[(i*2+1)*a.taps+k])
				if sum += w; int(from)+k >= inputs && w != 0 {
					t.Fatalf("box %d to %d at 1/%d: output %d weighs an input that is not there", low, high, reduce, i)
				}
			}
			if off := sum - 1<<fractionBits; off < -a.taps || off > a.taps { // each weight is rounded
				t.Fatalf("box %d to %d at 1/%d: weights of output %d add up to %d", low, high, reduce, i, sum)
			}
		}
	}
}
