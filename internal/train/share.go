package train

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/dist"
)

// share is this process's part of a run: all of it, or that of one of several ranks. Positions in an epoch count batches of
// train.batch_size images of all ranks, so that they mean the same for any number of ranks.
type share struct {
	group       dist.Group // nil for the only process
	rank, ranks int
	batch       int // images of this rank's micro-batch
	accumulate  int // micro-batches of this rank an update, at most
	whole       int // batches of train.batch_size in a step of all ranks
}

// newShare is the part of this member of group. An error wraps config.ErrConfig.
func newShare(c config.Train, group dist.Group) (share, error) {
	s := share{group: group, ranks: 1}
	if group != nil {
		s.rank, s.ranks = group.Rank(), group.Size()
	}
	var err error
	if s.batch, s.accumulate, err = c.Share(s.ranks); err != nil {
		return s, err
	}
	s.whole = c.Accumulate / s.accumulate
	for epoch := range min(c.BatchWarmup.Epochs, c.Epochs) {
		if k := window(c, epoch); k%s.whole != 0 {
			return s, fmt.Errorf("%w: train.batch_warmup: %d batches make an update in epoch %d, of which %d ranks compute %d at a time",
				config.ErrConfig, k, epoch+1, s.ranks, s.whole)
		}
	}
	return s, nil
}

// first reports whether this process is the one that saves and reports.
func (s *share) first() bool { return s.rank == 0 }

// alone reports whether there are no other ranks.
func (s *share) alone() bool { return s.ranks == 1 }

// microBatch is the number of this rank's micro-batch, within its epoch, of the step at batch.
func (s *share) microBatch(batch int) int { return batch/s.whole*s.ranks + s.rank }

// kinds are the errors of one rank that have the same meaning on all.
var kinds = []error{config.ErrConfig, ErrTaken, ErrChanged, checkpoint.ErrBad, data.ErrBadData}

// together returns err where this rank has one, else the first error of another rank: either all ranks go on, or none.
func (s *share) together(err error) error {
	if s.alone() {
		return err
	}
	var message []byte
	if err != nil {
		kind := slices.IndexFunc(kinds, func(k error) bool { return errors.Is(err, k) })
		message = append([]byte{byte(kind + 1)}, err.Error()...)
	}
	all, lost := s.group.Gather(message)
	if err != nil {
		return err
	}
	for rank, m := range all {
		switch {
		case len(m) == 0:
		case m[0] == 0 || int(m[0]) > len(kinds):
			return fmt.Errorf("rank %d has failed: %s", rank, m[1:])
		default:
			return fmt.Errorf("%w: rank %d has failed: %s", kinds[m[0]-1], rank, m[1:])
		}
	}
	return lost
}

// tell is the first rank's text on all ranks.
func (s *share) tell(text string) (string, error) {
	if s.alone() {
		return text, nil
	}
	all, err := s.group.Gather([]byte(text))
	if err != nil {
		return "", err
	}
	return string(all[0]), nil
}

// most is how many numbers a message has; a group's may be of 1 MiB.
const most = 1 << 16

// numbers are those of every rank, by rank; all have as many.
func (s *share) numbers(mine []float64) ([][]float64, error) {
	if s.alone() {
		return [][]float64{mine}, nil
	}
	xs := make([][]float64, s.ranks)
	for chunk := range slices.Chunk(mine, most) {
		var message []byte
		for _, x := range chunk {
			message = binary.LittleEndian.AppendUint64(message, math.Float64bits(x))
		}
		all, err := s.group.Gather(message)
		if err != nil {
			return nil, err
		}
		for rank, m := range all {
			if len(m) != len(message) {
				return nil, fmt.Errorf("rank %d has %d bytes of numbers, this one %d", rank, len(m), len(message))
			}
			for at := 0; at < len(m); at += 8 {
				xs[rank] = append(xs[rank], math.Float64frombits(binary.LittleEndian.Uint64(m[at:])))
			}
		}
	}
	return xs, nil
}

// numbersOfStep is how many numbers a step's score is sent as.
const numbersOfStep = 4

func (x stepScore) numbers() []float64 {
	return []float64{float64(x.images), float64(x.top1), float64(x.top5), x.loss}
}

func scoreOf(xs []float64) stepScore {
	return stepScore{images: int(xs[0]), top1: int(xs[1]), top5: int(xs[2]), loss: xs[3]}
}

// total is the sum of every rank's meter.
func (s *share) total(m meter) (meter, error) {
	all, err := s.numbers([]float64{float64(m.images), float64(m.top1), float64(m.top5), m.loss})
	if err != nil {
		return meter{}, err
	}
	var sum meter
	for _, xs := range all {
		sum.images, sum.top1, sum.top5, sum.loss = sum.images+int(xs[0]), sum.top1+int(xs[1]), sum.top5+int(xs[2]), sum.loss+xs[3]
	}
	return sum, nil
}

// anyOf reports whether it is so on one rank at least.
func (s *share) anyOf(mine bool) (bool, error) {
	x := 0.0
	if mine {
		x = 1
	}
	all, err := s.numbers([]float64{x})
	return slices.ContainsFunc(all, func(xs []float64) bool { return xs[0] != 0 }), err
}

// evaluation adds up the steps of an evaluation by all ranks, of which all have as many, in the order in which a single process
// has them, so that the result is the same to the bit.
func (s *share) evaluation(mine []stepScore) (Score, error) {
	var numbers []float64
	for _, x := range mine {
		numbers = append(numbers, x.numbers()...)
	}
	all, err := s.numbers(numbers)
	if err != nil {
		return Score{}, err
	}
	var sum meter
	for at := 0; at < len(numbers); at += numbersOfStep {
		for _, xs := range all {
			sum.count(scoreOf(xs[at:]))
		}
	}
	return sum.score(), nil
}

// agree compares what must be the same on all ranks.
func (s *share) agree(facts map[string]string) error {
	if s.alone() {
		return nil
	}
	return dist.Agree(s.group, facts)
}

// sameTensors compares tensors on all ranks, to the bit.
func (s *share) sameTensors(what string, ts Tensors) error {
	if s.alone() {
		return nil
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(ts)) {
		if err := binary.Write(sum, binary.LittleEndian, ts[name].Data()); err != nil {
			return fmt.Errorf("digest of %q: %w", name, err)
		}
	}
	return s.agree(map[string]string{what: fmt.Sprintf("%x", sum.Sum(nil)[:8])})
}
