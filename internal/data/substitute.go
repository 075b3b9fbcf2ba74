package data

import (
	"fmt"
	"sync"
)

// badShare is the share of a data set's images that training may find unreadable, and may always be one image.
// ImageNet has none; a hundred in a million are a scratch on the disk, more are another data set.
const badShare = 1e-4

// substitutes replaces images that cannot be read in training by others of their class. Workers share it.
type substitutes struct {
	ix   *Index
	tell func(error) // of every bad image once; may be nil

	mu      sync.Mutex
	bad     map[int]bool
	classes [][]int32 // the images of each class; nil until one is needed
}

// note counts a bad image; it fails when there are too many.
func (s *substitutes) note(i int, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad[i] {
		return nil
	}
	if s.bad == nil {
		s.bad = map[int]bool{}
	}
	s.bad[i] = true
	if limit := max(1, int(badShare*float64(s.ix.Len()))); len(s.bad) > limit {
		return fmt.Errorf("more than %d of %d images cannot be read; `senet data verify` lists them: %w", limit, s.ix.Len(), err)
	}
	if s.tell != nil {
		s.tell(err)
	}
	return nil
}

// of returns the try-th image, from 1 on, that stands in for image i, which depends on nothing else; ok is false when all of
// the class have been tried.
func (s *substitutes) of(i, try int) (index int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.classes == nil {
		s.classes = make([][]int32, len(s.ix.ids))
		for j := range s.ix.samples {
			label := s.ix.Label(j)
			s.classes[label] = append(s.classes[label], int32(j))
		}
	}
	class := s.classes[s.ix.Label(i)]
	if try >= len(class) {
		return 0, false
	}
	first := mix(uint64(i)) % uint64(len(class))
	for k := range class {
		at := class[(first+uint64(k))%uint64(len(class))]
		if int(at) == i {
			continue
		}
		if try--; try == 0 {
			return int(at), true
		}
	}
	return 0, false
}

// mix is the output function of SplitMix64: neighbours become unrelated.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
