package cpu

import (
	"fmt"
	"testing"

	"senet/internal/backend"
	"senet/internal/backend/backendtest"
)

// TestConformance runs the suite that every backend passes, on each instruction set.
func TestConformance(t *testing.T) {
	for _, o := range []Options{{Threads: 2}, {Threads: 1, AVX2: true}} {
		t.Run(fmt.Sprintf("threads=%d,avx2=%v", o.Threads, o.AVX2), func(t *testing.T) {
			ranked := func(t testing.TB, ranks int) []backend.Backend { return openRanks(t, ranks, o) }
			backendtest.RunAll(t, func(t testing.TB) backend.Backend { return open(t, o) }, backendtest.Options{Ranked: ranked})
		})
	}
}

// openRanks is as many backends that are the ranks of one job.
func openRanks(t testing.TB, ranks int, o Options) []backend.Backend {
	t.Helper()
	var bs []backend.Backend
	for _, c := range backendtest.Collectives(ranks) {
		o.Collective = c
		bs = append(bs, open(t, o))
	}
	return bs
}

// open is a backend that is closed with the test.
func open(t testing.TB, o Options) backend.Backend {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
