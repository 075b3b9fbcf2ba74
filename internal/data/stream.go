package data

import (
	"encoding/binary"
	"math/rand/v2"
)

// purpose keeps the random numbers of different uses apart. The values are part of what a seed
// means and never change.
type purpose uint64

const (
	forOrder purpose = 1 + iota
	forAugment
	forCrop   // of an image file
	forPixels // Augment.Pixels
	forBatch  // BatchRandom
)

// BatchRandom is a source of random numbers that depend on nothing but the seed, the epoch and the batch in it: for what
// is done to whole batches, such as mixup.
func BatchRandom(seed uint64, epoch, batch int) *rand.Rand {
	s := newStream()
	s.seek(seed, epoch, batch, forBatch)
	return s.rand
}

// stream draws random numbers that depend on nothing but its key.
type stream struct {
	chacha rand.ChaCha8
	rand   *rand.Rand
}

func newStream() *stream {
	s := &stream{}
	s.rand = rand.New(&s.chacha)
	return s
}

// seek goes to the start of the numbers of a key. ChaCha8 is keyed with the four words as they are:
// unlike with a small generator, neighbouring keys give unrelated numbers without hashing first.
//
// Copies of a repeated sample have keys of their own; copy 0 has those of a sample that is not repeated.
func (s *stream) seek(seed uint64, epoch int, index int, use purpose) {
	var key [32]byte
	for i, word := range []uint64{seed, uint64(epoch), uint64(index), uint64(use)} {
		binary.LittleEndian.PutUint64(key[8*i:], word)
	}
	s.chacha.Seed(key)
}

// permutation is the order of n samples in an epoch.
func permutation(seed uint64, epoch, n int) []int {
	s := newStream()
	s.seek(seed, epoch, 0, forOrder)
	return s.rand.Perm(n)
}
