package report

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestGatesAreSummedUp(t *testing.T) {
	g := NewGates(2, []float32{0, 0.04, 0.05, 0.5, 0.95, 0.96, 1, 1})
	if g.Stage != 2 || !(math.Abs(g.Mean-4.5/8) < 1e-7) || g.High != 37.5 || g.Low != 25 {
		t.Errorf("have %+v, want mean 0.5625, 37.5 %% above 0.95 and 25 %% below 0.05", g)
	}
}

// TestGatesAreRecordedWithoutTheirValues: a record would grow by the channels of every stage.
func TestGatesAreRecordedWithoutTheirValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	recordTo(t, path, func(j *JSONL) error {
		return errors.Join(j.Start(fashion), j.Epoch(Epoch{Epoch: 1, Gates: []Gates{NewGates(4, []float32{1, 0.5})}}), j.Epoch(Epoch{Epoch: 2}))
	})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if !strings.Contains(lines[1], `"gates":[{"stage":4,"mean":0.75,"high":50,"low":0}]`) || strings.Contains(lines[2], "gates") {
		t.Errorf("have %s", text)
	}
}

// histoOf reads a HistogramProto.
func histoOf(t *testing.T, b []byte) (scalars map[int]float64, limits, counts []float64) {
	t.Helper()
	scalars = map[int]float64{}
	err := message(b, func(field int, x uint64, data []byte) error {
		if field <= 5 {
			scalars[field] = math.Float64frombits(x)
			return nil
		}
		var xs []float64
		for ; len(data) >= 8; data = data[8:] {
			xs = append(xs, math.Float64frombits(binary.LittleEndian.Uint64(data)))
		}
		if field == 6 {
			limits = xs
		} else {
			counts = xs
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return scalars, limits, counts
}

func TestHistogramCountsEveryFiniteValue(t *testing.T) {
	var values []float32
	for i := range 61 { // 0 to 1: two in each of 30 buckets, and 1 in the last one
		values = append(values, float32(i)/60)
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	s, limits, counts := histoOf(t, histogram(append(values, nan, inf, -inf)))
	if s[1] != 0 || s[2] != 1 || s[3] != 61 || !(math.Abs(s[4]-30.5) < 1e-4) || !(math.Abs(s[5]-20.5027778) < 1e-4) {
		t.Errorf("minimum, maximum, number, sum and sum of squares are %v", s)
	}
	if len(limits) != 30 || len(counts) != 30 || !slices.IsSorted(limits) || limits[29] != 1 || !(math.Abs(limits[0]-1.0/30) < 1e-9) {
		t.Fatalf("limits %v of %d buckets", limits, len(counts))
	}
	sum := 0.0
	for i, n := range counts {
		sum += n
		if n < 1 || n > 3 {
			t.Errorf("bucket %d has %v values", i, n)
		}
	}
	if sum != 61 {
		t.Errorf("the buckets have %v values, want 61", sum)
	}

	s, limits, counts = histoOf(t, histogram([]float32{0.5, 0.5}))
	if s[3] != 2 || !slices.Equal(limits, []float64{0.5}) || !slices.Equal(counts, []float64{2}) {
		t.Errorf("equal values: %v, limits %v, counts %v", s, limits, counts)
	}
	if h := histogram([]float32{nan}); h != nil {
		t.Errorf("no finite value: have %v", h)
	}
}

func TestTensorBoardHoldsAHistogramOfEachStage(t *testing.T) {
	dir := t.TempDir()
	tb, err := NewTensorBoard(dir)
	if err != nil {
		t.Fatal(err)
	}
	tb.now = func() time.Time { return time.Unix(1, 0) }
	e := Epoch{GlobalStep: 6, Gates: []Gates{NewGates(1, []float32{0.25}), NewGates(3, []float32{0.5, 0.75})}}
	if err := errors.Join(tb.Start(Run{}), tb.Step(Step{GlobalStep: 1, LossScale: 256}), tb.Epoch(e), tb.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, eventFile(t, 1)))
	if err != nil {
		t.Fatal(err)
	}
	rs, err := records(b)
	if err != nil || len(rs) != 4 {
		t.Fatalf("have %d records (error %v), want the version, a step, an epoch and its gates", len(rs), err)
	}
	if step, err := parseEvent(rs[1]); err != nil || step.scalars["train/loss_scale"] != 256 {
		t.Errorf("have %+v (error %v), want the loss scale", step, err)
	}
	numbers := map[string]float64{}
	err = message(rs[3], func(field int, x uint64, data []byte) error {
		switch field {
		case 2:
			numbers["step"] = float64(x)
		case 5:
			return message(data, func(_ int, _ uint64, value []byte) error {
				var tag string
				return message(value, func(field int, _ uint64, data []byte) error {
					if field == 1 {
						tag = string(data)
					} else if field == 5 {
						s, _, _ := histoOf(t, data)
						numbers[tag] = s[3]
					}
					return nil
				})
			})
		}
		return nil
	})
	if err != nil || len(numbers) != 3 || numbers["step"] != 6 || numbers["gates/stage1"] != 1 || numbers["gates/stage3"] != 2 {
		t.Errorf("have %v (error %v), want a histogram of each stage at step 6", numbers, err)
	}
}
