package data

// sampler says which samples an epoch has, in which order. That order does not depend on how many processes share it:
// process rank of ranks takes every ranks-th position from rank on, so a step of them all together is the same
// samples for any number of them.
type sampler struct {
	n           int // samples of the data set
	seed        uint64
	train       bool
	repeats     int // how often each drawn sample comes in a training epoch
	rank, ranks int
	batch       int // samples of one process's batch
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

// order lists this rank's samples of an epoch.
//
// With repeats, an epoch still has n positions: the first n/repeats samples of the permutation come repeats times each, at
// neighbouring positions, which go to different ranks. So timm has it, whose RepeatAugSampler is that of Hoffer et al. 2020 as
// DeiT shards it.
func (s sampler) order(epoch int) []pick {
	count := max(0, (s.n-s.rank+s.ranks-1)/s.ranks)
	if s.train {
		count = s.batches() * s.batch
	}
	order := make([]pick, count)
	var shuffled []int
	if s.train {
		shuffled = permutation(s.seed, epoch, s.n)
	}
	for i := range order {
		at := i*s.ranks + s.rank
		if !s.train {
			order[i] = pick{index: at}
			continue
		}
		order[i] = pick{index: shuffled[at/s.repeats], copy: int32(at % s.repeats)}
	}
	return order
}
