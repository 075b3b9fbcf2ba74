package ref_test

import (
	"testing"

	"senet/internal/backend"
	"senet/internal/backend/backendtest"
	"senet/internal/ref"
)

// The oracle against itself: gradients by finite differences, and the fused form against the unfused.
func TestConformance(t *testing.T) {
	backendtest.RunAll(t, func(testing.TB) backend.Backend { return ref.New() }, backendtest.Options{Tolerance: 1e-10})
}
