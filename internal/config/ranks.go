package config

import (
	"fmt"
	"slices"
	"strings"
)

// Share is what one of so many ranks computes of each update: so many micro-batches of batch images, which add up to
// BatchSize*Accumulate images over all ranks. As many micro-batches as can go to different ranks do so whole, so that batch
// norm sees the groups of images that a single process sees wherever Accumulate is a multiple of ranks. An error wraps
// ErrConfig and names what would work.
func (t Train) Share(ranks int) (batch, accumulate int, err error) {
	if batch, accumulate, ok := t.share(ranks); ok {
		return batch, accumulate, nil
	}
	split := ranks / gcd(t.Accumulate, ranks) // ranks among which each batch is split
	sizes := []string{fmt.Sprint((t.BatchSize/split + 1) * split)}
	if below := t.BatchSize / split * split; below > 0 {
		sizes = slices.Insert(sizes, 0, fmt.Sprint(below))
	}
	return 0, 0, fmt.Errorf("%w: train.batch_size %d with train.accumulate %d cannot be shared equally by %d ranks: "+
		"want a batch_size that %d divides, such as %s, an accumulate that %d divides, or another number of ranks, such as %s",
		ErrConfig, t.BatchSize, t.Accumulate, ranks, split, strings.Join(sizes, " or "), ranks, t.ranksThatWork(ranks))
}

func (t Train) share(ranks int) (batch, accumulate int, ok bool) {
	whole := gcd(t.Accumulate, ranks)
	split := ranks / whole
	return t.BatchSize / split, t.Accumulate / whole, t.BatchSize%split == 0
}

// ranksThatWork are the next fewer and the next more ranks than ranks that can share an update. A single rank always can.
func (t Train) ranksThatWork(ranks int) string {
	can := func(n int) bool { _, _, ok := t.share(n); return ok }
	images := t.BatchSize * t.Accumulate
	fewer, more := min(ranks-1, images), ranks+1
	for fewer > 1 && !can(fewer) {
		fewer--
	}
	for more <= images && !can(more) {
		more++
	}
	if more > images {
		return fmt.Sprint(fewer)
	}
	return fmt.Sprintf("%d or %d", fewer, more)
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
