package data

import (
	"fmt"
	"slices"
	"testing"
)

// TestRanksShareAnEpoch: without overlap, each step being the same samples for any number of ranks.
func TestRanksShareAnEpoch(t *testing.T) {
	for _, train := range []bool{true, false} {
		for _, repeats := range []int{1, 3} {
			const n, step = 103, 8
			var want [][]pick // by step
			for _, ranks := range []int{1, 2, 4} {
				steps := map[int][]pick{}
				batches := 0
				for rank := range ranks {
					s := sampler{n: n, seed: 5, train: train, repeats: repeats, rank: rank, ranks: ranks, batch: step / ranks}
					batches = s.batches()
					for i, p := range s.order(2) {
						at := i / s.batch
						steps[at] = append(steps[at], p)
					}
				}
				var have [][]pick
				for at := range batches {
					slices.SortFunc(steps[at], func(a, b pick) int { return (a.index-b.index)*10 + int(a.copy-b.copy) })
					have = append(have, steps[at])
				}
				if ranks == 1 {
					want = have
				}
				if !slices.EqualFunc(have, want, func(a, b []pick) bool { return slices.Equal(a, b) }) {
					t.Errorf("train %v, %d repeats: %d ranks have\n%v\nwant\n%v", train, repeats, ranks, have, want)
				}
			}
			flat := slices.Concat(want...)
			seen := map[pick]bool{}
			for _, p := range flat {
				seen[p] = true
			}
			wantLen := n
			if train {
				wantLen = n / step * step
			}
			if len(flat) != wantLen || len(seen) != wantLen {
				t.Errorf("train %v, %d repeats: %d samples, %d of them different, want %d", train, repeats, len(flat), len(seen), wantLen)
			}
		}
	}
}

func TestRepeatsComeTogetherAndAreAugmentedAnew(t *testing.T) {
	s := sampler{n: 12, seed: 1, train: true, repeats: 3, ranks: 1, batch: 4}
	order, shuffled := s.order(7), permutation(1, 7, 12)
	for i, p := range order {
		if want := (pick{shuffled[i/3], int32(i % 3)}); p != want {
			t.Errorf("position %d is %+v, want %+v", i, p, want)
		}
	}
	o := augmented
	o.BatchSize, o.Repeats = 12, 3
	l := newLoader(t, &fake{n: 12, h: 6, w: 5, c: 1}, o)
	b := drain(t, l, 0, 0)[0]
	different := map[string]bool{}
	for row := range 12 {
		different[fmt.Sprint(b.pixels[30*row:30*(row+1)])] = true
	}
	if len(different) < 8 { // of 4 images, each 3 times
		t.Errorf("only %d of 12 rows differ", len(different))
	}
	pixels := make([]uint8, 30)
	if _, err := l.Sample(0, l.sampler.order(0)[3].index, pixels); err != nil || !slices.Equal(pixels, b.pixels[90:120]) {
		t.Errorf("the first copy is not what Sample draws: error %v", err)
	}
}

// TestUnevenRanksEvaluateEveryImageOnce: the last batch of a rank may even be empty.
func TestUnevenRanksEvaluateEveryImageOnce(t *testing.T) {
	src := &fake{n: 9, h: 1, w: 1, c: 1}
	seen := 0
	for rank := range 4 {
		l := newLoader(t, src, LoaderOptions{BatchSize: 2, Rank: rank, Ranks: 4})
		got := drain(t, l, 0, 0)
		if len(got) != 2 {
			t.Errorf("rank %d has %d batches, want 2", rank, len(got))
		}
		for _, b := range got {
			seen += b.size
			if !slices.Equal(b.labels[b.size:], slices.Repeat([]int32{-1}, 2-b.size)) {
				t.Errorf("rank %d: labels %v of %d rows", rank, b.labels, b.size)
			}
		}
	}
	if seen != 9 {
		t.Errorf("%d images were evaluated, want 9", seen)
	}
}
