package cuda

import (
	"testing"

	"senet/internal/cuda/emu"
)

// TestMain runs the tests on the emulated driver, or with -gpu on the machine's.
func TestMain(m *testing.M) { emu.Main(m, kernelsDir) }
