package graph

import (
	"cmp"
	"slices"
)

// Buffer is memory that a program holds for a value, or for several that overwrite each other.
type Buffer struct {
	Name  string // of the value that is written first
	Shape Shape  // of that value
	Bytes int64
}

// Largest lists the n largest buffers of p, persistent ones and activations, by falling size. size is what
// PlanMemory was given.
func Largest(p *Program, size func(*Value) int64, n int) []Buffer {
	var all []Buffer
	used := p.Used()
	for _, v := range p.Values {
		if v.Role != Activation && used[v] {
			all = append(all, Buffer{v.Name, v.Shape, roundUp(size(v))})
		}
	}
	for _, b := range lifetimes(p, size) {
		all = append(all, Buffer{b.values[0].Name, b.values[0].Shape, b.size})
	}
	slices.SortStableFunc(all, func(a, b Buffer) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return all[:min(n, len(all))]
}

// BatchThatFits estimates the largest batch whose program takes at most free bytes, from programs for batches of a and
// b > a images that take aBytes and bBytes: what is not the parameters' grows with the batch. It is 0 if none fits.
func BatchThatFits(a int, aBytes int64, b int, bBytes, free int64) int {
	perImage := float64(bBytes-aBytes) / float64(b-a)
	fixed := float64(aBytes) - perImage*float64(a)
	if !(perImage > 0) || float64(free) < fixed+perImage {
		return 0
	}
	return int((float64(free) - fixed) / perImage)
}
