package ref

import (
	"fmt"
	"math"

	"senet/internal/backend"
	"senet/internal/graph"
)

// job is what an executable knows of the other ranks: c is nil where there are none, err what the first failed sum said.
type job struct {
	c   backend.Collective
	err error
}

func (j *job) ranks() int {
	if j.c == nil {
		return 1
	}
	return j.c.Ranks()
}

// average replaces each element of x by its mean over all ranks; round, unless nil, is applied to what a rank sends.
func (o operands) average(x []float64, round func(float32) float32) {
	if o.node.Ranks() == 1 || o.job.err != nil {
		return
	}
	wire := make([]float32, len(x))
	convert(wire, x)
	if round != nil {
		for i := range wire {
			wire[i] = round(wire[i])
		}
	}
	if err := o.job.c.Sum(wire)(); err != nil {
		o.job.err = fmt.Errorf("%s %q: %w: %w", o.node.Op, o.node.Name, backend.ErrRankLost, err)
		return
	}
	for i := range x {
		x[i] = float64(wire[i]) / float64(o.job.ranks())
	}
}

func allReduce(o operands) {
	var round func(float32) float32
	if o.node.Attr.(graph.AllReduceAttr).Half {
		round = bfloat16
	}
	for i, x := range o.in {
		copy(o.out[i], x)
		o.average(o.out[i], round)
	}
}

// bfloat16 rounds x to the nearest number whose last 16 bits are 0, the even one of two; NaN stays NaN.
func bfloat16(x float32) float32 {
	bits := math.Float32bits(x)
	if x != x {
		return math.Float32frombits(bits | 1<<22)
	}
	return math.Float32frombits((bits + 0x7fff + bits>>16&1) &^ 0xffff)
}
