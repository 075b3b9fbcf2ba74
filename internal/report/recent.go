package report

import (
	"math"
	"time"
)

// recent holds the last steps of the running epoch, so that what is shown neither jumps with
// every batch nor lags behind by an epoch.
type recent struct {
	steps [100]Step // a ring
	n     int       // steps ever added
}

func (r *recent) add(s Step) {
	r.steps[r.n%len(r.steps)] = s
	r.n++
}

// means are over the recent steps; loss and top1 leave out steps whose loss is not finite.
type means struct {
	loss, top1 float64       // NaN if no step counts
	speed      float64       // images per second
	data       float64       // share of time spent waiting for data, percent
	stepTime   time.Duration // of one step
}

func (r *recent) mean() means {
	var m means
	var images, counted float64
	var total, waited time.Duration
	steps := r.steps[:min(r.n, len(r.steps))]
	for _, s := range steps {
		images += float64(s.Images)
		total += s.StepTime
		waited += s.DataWait
		if finite(s.Loss) {
			counted += float64(s.Images)
			m.loss += s.Loss * float64(s.Images)
			m.top1 += s.Top1 * float64(s.Images)
		}
	}
	if counted == 0 {
		m.loss, m.top1 = math.NaN(), math.NaN()
	} else {
		m.loss, m.top1 = m.loss/counted, m.top1/counted
	}
	if total > 0 {
		m.speed = images / total.Seconds()
		m.data = 100 * float64(waited) / float64(total)
	}
	m.stepTime = total / time.Duration(max(len(steps), 1))
	return m
}
