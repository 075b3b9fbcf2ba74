package cpu

// #include "kernels.h"
import "C"

import "unsafe"

// A batch norm over the images of several ranks meets them between the two halves of its kernel: twice forward, for the mean and
// then for the variance around the mean that all have, and once backward, for the sums that dy needs.

// meeting is memory for n floats, which an op over sync ranks owns to take means over them.
func meeting(sync int, n C.int) int64 {
	if sync < 2 {
		return 0
	}
	return int64(n) * 4
}

// average replaces x by its mean over all ranks.
func (b *Backend) average(x []float32) error {
	for i := range x {
		x[i] /= float32(b.ranks())
	}
	return b.sum(x)()
}

// statistics are the mean and variance (c) of one map's channels.
type statistics struct{ mean, variance []float32 }

func statisticsAt(mean, variance *C.float, c C.int) statistics {
	return statistics{unsafe.Slice((*float32)(mean), c), unsafe.Slice((*float32)(variance), c)}
}

// tail runs the forward kernel. Over sync ranks, with as many values on each, the mean is the mean of their means, and the variance
// the mean of their variances and of the squared distances of their means from it.
func (m *binding) tail(a *C.senet_bn_se_add_relu_args, sync int) func() error {
	if sync < 2 {
		return func() error {
			C.senet_bn_se_add_relu(a)
			return nil
		}
	}
	maps, c := []statistics{statisticsAt(a.mean, a._var, a.c)}, int(a.c)
	if a.shortcut_gamma != nil {
		maps = append(maps, statisticsAt(a.shortcut_mean, a.shortcut_var, a.c))
	}
	x := unsafe.Slice((*float32)(m.own), len(maps)*c)
	return func() error {
		a.stage = C.SENET_TAIL_SUMS
		C.senet_bn_se_add_relu(a)
		for k, s := range maps {
			copy(x[k*c:], s.mean)
		}
		if err := m.e.b.average(x); err != nil {
			return err
		}
		for k, s := range maps {
			for i, mean := range x[k*c : (k+1)*c] {
				distance := float64(s.mean[i]) - float64(mean)
				s.mean[i], x[k*c+i] = mean, float32(float64(s.variance[i])+distance*distance)
			}
		}
		if err := m.e.b.average(x); err != nil {
			return err
		}
		for k, s := range maps {
			copy(s.variance, x[k*c:])
		}
		a.stage = C.SENET_TAIL_REST
		C.senet_bn_se_add_relu(a)
		return nil
	}
}

// gradSums is how many sums over (c) a gradient has: dbeta and dgamma, and those of a projection.
func gradSums(projection bool) C.int {
	if projection {
		return 4
	}
	return 2
}

// tailGrad runs the gradient's kernel, over sync ranks with their mean of its sums.
func (m *binding) tailGrad(a *C.senet_bn_se_add_relu_grad_args, sync int) func() error {
	if sync < 2 {
		return func() error {
			C.senet_bn_se_add_relu_grad(a)
			return nil
		}
	}
	n := gradSums(a.shortcut_gamma != nil) * a.c
	x, sums := unsafe.Slice((*float32)(m.own), n), unsafe.Slice((*float64)(a.scratch), n)
	return func() error {
		a.stage = C.SENET_TAIL_SUMS
		C.senet_bn_se_add_relu_grad(a)
		for i, s := range sums {
			x[i] = float32(s)
		}
		if err := m.e.b.average(x); err != nil {
			return err
		}
		for i, mean := range x {
			sums[i] = float64(mean)
		}
		a.stage = C.SENET_TAIL_REST
		C.senet_bn_se_add_relu_grad(a)
		return nil
	}
}
