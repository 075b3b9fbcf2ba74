package ref_test

import (
	"testing"

	"senet/internal/backend"
	"senet/internal/backend/backendtest"
	"senet/internal/ref"
)

func ranked(_ testing.TB, ranks int) []backend.Backend {
	var bs []backend.Backend
	for _, c := range backendtest.Collectives(ranks) {
		bs = append(bs, ref.NewRanked(c))
	}
	return bs
}

// The oracle against itself: gradients by finite differences, and the fused form against the unfused.
func TestConformance(t *testing.T) {
	backendtest.RunAll(t, func(testing.TB) backend.Backend { return ref.New() }, backendtest.Options{Tolerance: 1e-10, Ranked: ranked})
}
