package data

// sampler says which samples an epoch has, in which order. That order does not depend on how many ranks share it: a step of
// all ranks is the next batch*ranks positions, of which rank r has the r-th slice of batch. So step s of rank r is batch
// s*ranks+r of a single process, and a step of all ranks is the same samples for any number of them.
type sampler struct {
	n           int // samples of the data set
	seed        uint64
	train       bool
	repeats     int // how often each drawn sample comes in a training epoch
	rank, ranks int
	batch       int // samples of one rank's batch
}

// pick is a sample in an epoch. The copies of a repeated sample, counted from 0, are augmented each in its own way.
type pick struct {
	index int
	copy  int32
}

// batches is the number of batches of an epoch, the same for every rank. Training leaves out what fills no batch of all ranks.
func (s sampler) batches() int {
	step := s.batch * s.ranks
	if s.train {
		return s.n / step
	}
	return (s.n + step - 1) / step
}

// order lists this rank's samples of an epoch, batch by batch; in evaluation the last batch may be short or empty.
//
// With repeats, an epoch still has n positions: the first n/repeats samples of the permutation come repeats times each, at
// neighbouring positions, as in timm, whose RepeatAugSampler is that of Hoffer et al. 2020.
func (s sampler) order(epoch int) []pick {
	var shuffled []int
	if s.train {
		shuffled = permutation(s.seed, epoch, s.n)
	}
	order := make([]pick, 0, s.batches()*s.batch)
	for step := range s.batches() {
		first := (step*s.ranks + s.rank) * s.batch
		for at := first; at < min(first+s.batch, s.n); at++ {
			if s.train {
				order = append(order, pick{index: shuffled[at/s.repeats], copy: int32(at % s.repeats)})
			} else {
				order = append(order, pick{index: at})
			}
		}
	}
	return order
}
