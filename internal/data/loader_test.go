package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a source whose images tell their index.
type fake struct {
	n, h, w, c int
	delay      time.Duration         // of every Read
	slow       map[int]time.Duration // added to it, by sample
	broken     map[int]error
}

func (f *fake) Len() int             { return f.n }
func (f *fake) Shape() (h, w, c int) { return f.h, f.w, f.c }
func (f *fake) Classes() []string    { return []string{"even", "odd"} }

func (f *fake) Read(i int, pixels []uint8) (int32, error) {
	if d := f.delay + f.slow[i]; d > 0 {
		time.Sleep(d)
	}
	if err := f.broken[i]; err != nil {
		return 0, err
	}
	if len(pixels) != f.h*f.w*f.c {
		return 0, fmt.Errorf("fake: %d bytes", len(pixels))
	}
	for j := range pixels {
		pixels[j] = uint8(1 + (i*31+j*7)%255) // never black
	}
	return int32(i % 2), nil
}

// want is image i of f unchanged.
func (f *fake) want(i int) []uint8 {
	pixels := make([]uint8, f.h*f.w*f.c)
	_, _ = (&fake{n: f.n, h: f.h, w: f.w, c: f.c}).Read(i, pixels)
	return pixels
}

func newLoader(t testing.TB, src Source, o LoaderOptions) *Loader {
	t.Helper()
	l, err := NewLoader(src, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// content is a copy of what a batch holds.
type content struct {
	pixels []uint8
	labels []int32
	size   int
}

func copyOf(b *Batch) content {
	return content{slices.Clone(b.Images.Data().([]uint8)), slices.Clone(b.Labels.Data().([]int32)), b.Size}
}

func (a content) equal(b content) bool {
	return a.size == b.size && slices.Equal(a.pixels, b.pixels) && slices.Equal(a.labels, b.labels)
}

// drain runs an epoch from firstBatch to its end.
func drain(t *testing.T, l *Loader, epoch, firstBatch int) []content {
	t.Helper()
	it := l.Epoch(t.Context(), epoch, firstBatch)
	defer it.Close()
	var all []content
	for {
		b, err := it.Next()
		if errors.Is(err, io.EOF) {
			if _, again := it.Next(); !errors.Is(again, io.EOF) {
				t.Errorf("after the end Next says %v, want io.EOF", again)
			}
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, copyOf(b))
		it.Recycle(b)
	}
}

var augmented = LoaderOptions{BatchSize: 8, Workers: 2, Seed: 7, Train: true, Augment: Augment{Pad: 2, Flip: true}}

func TestPermutationCoversEveryIndexOnceAndDependsOnSeedAndEpoch(t *testing.T) {
	seen := map[string]bool{}
	for _, seed := range []uint64{0, 1, math.MaxUint64} {
		for epoch := range 4 {
			p := permutation(seed, epoch, 100)
			seen[fmt.Sprint(p)] = true
			if again := permutation(seed, epoch, 100); !slices.Equal(p, again) {
				t.Errorf("seed %d, epoch %d: two draws differ", seed, epoch)
			}
			slices.Sort(p)
			for i, x := range p {
				if x != i {
					t.Fatalf("seed %d, epoch %d: sorted permutation has %d at %d", seed, epoch, x, i)
				}
			}
		}
	}
	if len(seen) != 12 {
		t.Errorf("12 pairs of seed and epoch give %d permutations", len(seen))
	}
}

func TestTrainingEpochShufflesAndDropsThePartialBatch(t *testing.T) {
	src := &fake{n: 21, h: 4, w: 4, c: 1}
	l := newLoader(t, src, LoaderOptions{BatchSize: 4, Seed: 3, Train: true})
	got := drain(t, l, 2, 0)
	if len(got) != 5 || l.Batches() != 5 {
		t.Fatalf("%d batches, Batches says %d, want 5", len(got), l.Batches())
	}
	order := permutation(3, 2, 21)
	for i, b := range got {
		if b.size != 4 {
			t.Errorf("batch %d has size %d", i, b.size)
		}
		for row := range 4 {
			index := order[4*i+row]
			if !slices.Equal(b.pixels[row*16:(row+1)*16], src.want(index)) || b.labels[row] != int32(index%2) {
				t.Errorf("batch %d, row %d is not sample %d", i, row, index)
			}
		}
	}
}

func TestEvaluationKeepsOrderAndPadsTheLastBatch(t *testing.T) {
	src := &fake{n: 10, h: 2, w: 3, c: 3}
	l := newLoader(t, src, LoaderOptions{BatchSize: 4})
	for _, got := range [][]content{drain(t, l, 0, 0), drain(t, l, 9, 0)} {
		if len(got) != 3 || l.Batches() != 3 {
			t.Fatalf("%d batches, Batches says %d, want 3", len(got), l.Batches())
		}
		if sizes := []int{got[0].size, got[1].size, got[2].size}; !slices.Equal(sizes, []int{4, 4, 2}) {
			t.Errorf("sizes are %v", sizes)
		}
		if !slices.Equal(got[2].labels, []int32{0, 1, -1, -1}) {
			t.Errorf("labels of the last batch are %v", got[2].labels)
		}
		if !slices.Equal(got[2].pixels, slices.Concat(src.want(8), src.want(9), make([]uint8, 36))) {
			t.Errorf("pixels of the last batch are %v", got[2].pixels)
		}
	}
}

func TestFillingRowsAreBlackInRecycledMemory(t *testing.T) {
	src := &fake{n: 4*inFlight + 1, h: 2, w: 2, c: 1}
	got := drain(t, newLoader(t, src, LoaderOptions{BatchSize: 4}), 0, 0)
	last := got[len(got)-1]
	if !slices.Equal(last.pixels[4:], make([]uint8, 12)) || !slices.Equal(last.labels[1:], []int32{-1, -1, -1}) {
		t.Errorf("last batch is %v, labels %v", last.pixels, last.labels)
	}
}

func TestBatchHasTheCompiledShape(t *testing.T) {
	it := newLoader(t, &fake{n: 3, h: 2, w: 5, c: 3}, LoaderOptions{BatchSize: 4}).Epoch(t.Context(), 0, 0)
	defer it.Close()
	b, err := it.Next()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.Images.Shape(), []int{4, 2, 5, 3}) || !slices.Equal(b.Labels.Shape(), []int{4}) {
		t.Errorf("images are %v, labels %v", b.Images.Shape(), b.Labels.Shape())
	}
}

func TestResumedEpochYieldsTheSameBytes(t *testing.T) {
	for _, train := range []bool{true, false} {
		o := augmented
		o.Train = train
		l := newLoader(t, &fake{n: 61, h: 6, w: 5, c: 3}, o)
		whole := drain(t, l, 4, 0)
		for first := range l.Batches() + 1 {
			if part := drain(t, l, 4, first); !slices.EqualFunc(part, whole[first:], content.equal) {
				t.Errorf("train %v: from batch %d on the epoch differs", train, first)
			}
		}
	}
}

func TestNumberOfWorkersChangesNothing(t *testing.T) {
	src := &fake{n: 200, h: 6, w: 5, c: 3}
	o := augmented
	o.Workers = 1
	one := drain(t, newLoader(t, src, o), 1, 0)
	for _, workers := range []int{0, 3, 50} {
		o.Workers = workers
		if !slices.EqualFunc(one, drain(t, newLoader(t, src, o), 1, 0), content.equal) {
			t.Errorf("%d workers yield something else than one", workers)
		}
	}
}

func TestSampleDrawsWhatTheEpochDrew(t *testing.T) {
	l := newLoader(t, &fake{n: 16, h: 6, w: 5, c: 3}, augmented)
	order := permutation(augmented.Seed, 3, 16)
	differ := 0
	for i, b := range drain(t, l, 3, 0) {
		for row := range b.size {
			pixels := make([]uint8, 90)
			label, err := l.Sample(3, order[8*i+row], pixels)
			if err != nil {
				t.Fatal(err)
			}
			if label != b.labels[row] || !slices.Equal(pixels, b.pixels[90*row:90*(row+1)]) {
				t.Errorf("sample %d drawn alone differs", order[8*i+row])
			}
			if _, err := l.Sample(4, order[8*i+row], pixels); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(pixels, b.pixels[90*row:90*(row+1)]) {
				differ++
			}
		}
	}
	if differ < 8 {
		t.Errorf("only %d of 16 samples change with the epoch", differ)
	}
	if _, err := l.Sample(0, 0, make([]uint8, 89)); err == nil {
		t.Error("a short image was filled")
	}
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	src := &fake{n: 10, h: 4, w: 6, c: 1}
	for _, c := range []struct {
		src  Source
		o    LoaderOptions
		want string
		bad  bool // wraps ErrBadData
	}{
		{src, LoaderOptions{}, "batch size is 0", false},
		{src, LoaderOptions{BatchSize: 1, Workers: -1}, "-1 workers", false},
		{src, LoaderOptions{BatchSize: 1, Augment: Augment{Pad: -1}}, "padded by -1", false},
		{src, LoaderOptions{BatchSize: 1, Augment: Augment{Pad: 4}}, "padded by 4", false},
		{src, LoaderOptions{BatchSize: 11, Train: true}, "10 images, fewer than one training batch of 11", true},
		{&fake{h: 4, w: 4, c: 1}, LoaderOptions{BatchSize: 1}, "no images", true},
	} {
		_, err := NewLoader(c.src, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrBadData) != c.bad {
			t.Errorf("%+v: error is %v, want %q", c.o, err, c.want)
		}
	}
	newLoader(t, src, LoaderOptions{BatchSize: 11})
	newLoader(t, src, LoaderOptions{BatchSize: 10, Train: true})
}

func TestEpochRefusesAnImpossibleFirstBatch(t *testing.T) {
	l := newLoader(t, &fake{n: 8, h: 1, w: 1, c: 1}, LoaderOptions{BatchSize: 4})
	for _, first := range []int{-1, 3} {
		it := l.Epoch(t.Context(), 0, first)
		if _, err := it.Next(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("batch %d of an epoch of 2", first)) {
			t.Errorf("first batch %d: error is %v", first, err)
		}
		it.Close()
	}
}

// TestBrokenSampleReachesNext also shows, as synctest does, that no goroutine is left behind.
func TestBrokenSampleReachesNext(t *testing.T) {
	broken := errors.New("fake.tar: member 17 is cut off")
	src := &fake{
		n: 40, h: 4, w: 4, c: 1, delay: time.Millisecond, slow: map[int]time.Duration{17: time.Hour}, // the first to fail is not the first to say so
		broken: map[int]error{17: broken, 19: errors.New("later"), 30: errors.New("far later")},
	}
	for _, workers := range []int{1, 3, 8} {
		synctest.Test(t, func(t *testing.T) {
			it := newLoader(t, src, LoaderOptions{BatchSize: 8, Workers: workers}).Epoch(t.Context(), 5, 0)
			for range 2 { // the batches before it are good
				b, err := it.Next()
				if err != nil {
					t.Fatal(err)
				}
				it.Recycle(b)
			}
			for range 2 { // and the error stays
				b, err := it.Next()
				if b != nil || !errors.Is(err, broken) || !strings.Contains(err.Error(), "epoch 5, batch 2: sample 17: fake.tar") {
					t.Errorf("%d workers: batch %v, error %v", workers, b, err)
				}
			}
			it.Close()
		})
	}
}

func TestCancelStopsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		it := newLoader(t, &fake{n: 100, h: 4, w: 4, c: 1, delay: time.Hour}, LoaderOptions{BatchSize: 50, Workers: 3}).Epoch(ctx, 0, 0)
		go func() { time.Sleep(30 * time.Minute); cancel() }()
		b, err := it.Next() // blocked when the cancel comes
		if b != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("batch %v, error %v, want the context's", b, err)
		}
		if it.Waited() != 30*time.Minute {
			t.Errorf("Next returned after %v, want at once at 30 minutes", it.Waited())
		}
		start := time.Now()
		it.Close()
		if took := time.Since(start); took > 30*time.Minute {
			t.Errorf("workers went on for %v, want to the end of the image that each was reading", took)
		}
	})
}

func TestCancelledContextYieldsNoBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		it := newLoader(t, &fake{n: 100, h: 4, w: 4, c: 1}, LoaderOptions{BatchSize: 10}).Epoch(ctx, 0, 0)
		defer it.Close()
		synctest.Wait() // batches are ready
		cancel()
		if b, err := it.Next(); b != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("batch %v, error %v, want the context's", b, err)
		}
	})
}

func TestEarlyCloseLeavesNoGoroutine(t *testing.T) {
	for taken := range 4 {
		synctest.Test(t, func(t *testing.T) {
			it := newLoader(t, &fake{n: 100, h: 4, w: 4, c: 1, delay: time.Second}, LoaderOptions{BatchSize: 10, Workers: 3}).Epoch(t.Context(), 0, 0)
			for range taken {
				b, err := it.Next()
				if err != nil {
					t.Fatal(err)
				}
				it.Recycle(b)
			}
			it.Close()
			it.Close()
			if _, err := it.Next(); !errors.Is(err, errClosed) {
				t.Errorf("after Close Next says %v", err)
			}
		})
	}
}

// TestPrefetchIsBounded: a caller that stops taking batches stops the workers.
func TestPrefetchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		it := newLoader(t, &fake{n: 1000, h: 4, w: 4, c: 1}, LoaderOptions{BatchSize: 10, Workers: 4}).Epoch(t.Context(), 0, 0)
		defer it.Close()
		var held []*Batch
		for range inFlight {
			b, err := it.Next()
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(held, b) {
				t.Fatal("a batch in use was handed out again")
			}
			held = append(held, b)
		}
		synctest.Wait()
		if n := len(it.ordered) + len(it.free); n != 0 {
			t.Errorf("%d batches besides the %d in use", n, inFlight)
		}
		for _, b := range held { // a second time and a stranger change nothing
			it.Recycle(b)
			it.Recycle(b)
			it.Recycle(&Batch{})
		}
		synctest.Wait()
		if n := len(it.ordered) + len(it.free); n != inFlight {
			t.Errorf("%d batches after recycling %d", n, inFlight)
		}
	})
}

func TestKeepingAllBatchesIsAnErrorNotADeadlock(t *testing.T) {
	it := newLoader(t, &fake{n: 1000, h: 4, w: 4, c: 1}, LoaderOptions{BatchSize: 10}).Epoch(t.Context(), 0, 0)
	defer it.Close()
	for range inFlight {
		if _, err := it.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := it.Next(); err == nil || !strings.Contains(err.Error(), "recycle") {
		t.Errorf("error is %v", err)
	}
}

func TestWaitedIsTheTimeNextBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		it := newLoader(t, &fake{n: 40, h: 4, w: 4, c: 1, delay: time.Second}, LoaderOptions{BatchSize: 10, Workers: 1}).Epoch(t.Context(), 0, 0)
		defer it.Close()
		for i, step := range []struct{ busy, waited time.Duration }{
			{0, 10 * time.Second},
			{4 * time.Second, 16 * time.Second},
			{time.Minute, 16 * time.Second},
		} {
			time.Sleep(step.busy)
			b, err := it.Next()
			if err != nil {
				t.Fatal(err)
			}
			it.Recycle(b)
			if it.Waited() != step.waited {
				t.Errorf("after batch %d: waited %v, want %v", i, it.Waited(), step.waited)
			}
		}
	})
}

func TestAllocationStaysFlatOverBatches(t *testing.T) {
	o := augmented
	o.BatchSize = 64
	it := newLoader(t, &fake{n: 64 * 1100, h: 28, w: 28, c: 1}, o).Epoch(t.Context(), 0, 0)
	defer it.Close()
	take := func(n int) {
		for range n {
			b, err := it.Next()
			if err != nil {
				t.Fatal(err)
			}
			it.Recycle(b)
		}
	}
	take(100)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	take(1000)
	runtime.ReadMemStats(&after)
	// 50 MB of pixels went by; a few kB are the runtime's own.
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 100<<10 {
		t.Errorf("1000 batches allocated %d bytes in %d objects", bytes, after.Mallocs-before.Mallocs)
	}
}

// BenchmarkLoader has one worker, so images/s are those of one core (the caller takes next to nothing).
func BenchmarkLoader(b *testing.B) {
	for _, c := range []struct {
		name string
		a    Augment
	}{{"plain", Augment{}}, {"augmented", Augment{Pad: 2, Flip: true}}} {
		b.Run(c.name, func(b *testing.B) {
			const batch = 128
			src := &fashionMNIST{dir: "memory", pixels: make([]uint8, 60000*28*28), labels: make([]uint8, 60000)}
			l := newLoader(b, src, LoaderOptions{BatchSize: batch, Workers: 1, Train: true, Augment: c.a})
			it, epoch := l.Epoch(b.Context(), 0, 0), 0
			defer func() { it.Close() }()
			b.ReportAllocs()
			for b.Loop() {
				x, err := it.Next()
				if errors.Is(err, io.EOF) {
					it.Close()
					epoch++
					it = l.Epoch(b.Context(), epoch, 0)
					x, err = it.Next()
				}
				if err != nil {
					b.Fatal(err)
				}
				it.Recycle(x)
			}
			b.ReportMetric(float64(b.N)*batch/b.Elapsed().Seconds(), "images/s")
		})
	}
}
