package data

import (
	"fmt"
	"slices"
	"testing"
)

// TestRanksShareAnEpoch: batch s of rank r of R is batch s*R+r of a single process, which therefore has the same images in an
// update of R batches as R ranks have in a step.
func TestRanksShareAnEpoch(t *testing.T) {
	const n, batch = 103, 4
	for _, train := range []bool{true, false} {
		for _, repeats := range []int{1, 3} {
			alone := sampler{n: n, seed: 5, train: train, repeats: repeats, ranks: 1, batch: batch}
			want := alone.order(2)
			for _, ranks := range []int{1, 2, 3, 4, 7} {
				steps := 0
				orders := make([][]pick, ranks)
				for rank := range ranks {
					s := alone
					s.rank, s.ranks = rank, ranks
					orders[rank], steps = s.order(2), s.batches()
				}
				var have []pick
				for step := range steps {
					for _, order := range orders {
						have = append(have, order[min(step*batch, len(order)):min((step+1)*batch, len(order))]...)
					}
				}
				end := n
				if train {
					end = n / (batch * ranks) * batch * ranks
				}
				if !slices.Equal(have, want[:min(end, len(want))]) || len(have) != end {
					t.Errorf("train %v, %d repeats: %d ranks have\n%v\nwant the first %d of\n%v", train, repeats, ranks, have, end, want)
				}
			}
			seen := map[pick]bool{}
			for _, p := range want {
				seen[p] = true
			}
			wantLen := n
			if train {
				wantLen = n / batch * batch
			}
			if len(want) != wantLen || len(seen) != wantLen {
				t.Errorf("train %v, %d repeats: %d samples, %d of them different, want %d", train, repeats, len(want), len(seen), wantLen)
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
