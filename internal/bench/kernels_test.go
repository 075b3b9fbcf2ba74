package bench

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"senet/internal/backend"
	"senet/internal/cpu"
	"senet/internal/graph"
	"senet/internal/ref"
)

// node reads x and writes y; parameters do not tell its shape.
func node(op graph.Op, x, y graph.Shape) *graph.Node {
	return &graph.Node{
		Op: op, In: []*graph.Value{nil, {Shape: graph.Shape{64}, Role: graph.Param}, {Shape: x, Role: graph.Activation}},
		Out: []*graph.Value{{Shape: y, Role: graph.Activation}},
	}
}

func TestNodesOfEqualShapeAreCountedTogether(t *testing.T) {
	large, small, row := graph.Shape{2, 64, 8, 8}, graph.Shape{2, 64, 4, 4}, graph.Shape{2, 64}
	have := byShape([]backend.NodeTime{
		{Node: node(graph.FoldBN, large, large)}, // of phase Prepare, which no step runs
		{Node: node(graph.ReLU, small, small), Runs: 4, Total: 40 * time.Microsecond, Bytes: 100},
		{Node: node(graph.ReLU, large, large), Runs: 4, Total: 400 * time.Microsecond, Bytes: 400},
		{Node: node(graph.ReLU, large, large), Runs: 4, Total: 1200 * time.Microsecond, Bytes: 400},
		{Node: node(graph.ReLU, large, large), Runs: 4, Total: 4 * time.Microsecond, Bytes: 800}, // moves more than its like
		{Node: node(graph.Linear, row, row), Runs: 4, Total: 8 * time.Microsecond},
	})
	want := []KernelTime{
		{graph.ReLU, large, 2, 200 * time.Microsecond, 400},
		{graph.ReLU, small, 1, 10 * time.Microsecond, 100},
		{graph.Linear, row, 1, 2 * time.Microsecond, 0},
		{graph.ReLU, large, 1, time.Microsecond, 800},
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v\nwant %+v", have, want)
	}
	if s := want[0].BytesPerSecond(); s != 2e6 {
		t.Errorf("have %v bytes a second, want 400 in 200 microseconds", s)
	}
}

// TestKernels: of a whole step, its update included, with the bytes of the operands.
func TestKernels(t *testing.T) {
	b, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, train := range []bool{false, true} {
		ks, err := Kernels(t.Context(), b, network(t, "seresnet20_cifar"), Options{Train: train, Steps: 2, Warmup: 1, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		runs := map[graph.Op]int{}
		for i, k := range ks {
			runs[k.Op] += k.Runs
			if !(k.Time >= 0) || k.Bytes <= 0 {
				t.Errorf("%+v", k)
			}
			if step := k.Time * time.Duration(k.Runs); i > 0 && step > ks[i-1].Time*time.Duration(ks[i-1].Runs)+time.Duration(ks[i-1].Runs) {
				t.Errorf("%+v takes longer than the one before", k)
			}
			if k.Op == graph.Normalize && k.Bytes != 4*8*8*(1+4) {
				t.Errorf("normalising 4 images of 8x8 bytes moves %d", k.Bytes)
			}
		}
		updates := 0
		if train {
			updates = 1
		}
		if runs[graph.Conv] != 21 || runs[graph.FoldBN] != 0 || runs[graph.SGD] != updates {
			t.Errorf("training %v: runs %v", train, runs)
		}
	}
	if _, err := Kernels(t.Context(), ref.New(), network(t, "resnet20_cifar"), Options{Steps: 1, Now: time.Now}); !errors.Is(err, ErrNoProfile) {
		t.Errorf("the oracle's kernels: %v", err)
	}
}
