package cuda

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"senet/internal/cuda/emu"
)

// TestSuiteFindsBrokenKernels spoils one kernel at a time by a missing
// barrier or an index off by one, and expects the conformance suite to fail under one of three orders of threads.
func TestSuiteFindsBrokenKernels(t *testing.T) {
	if !emu.Running() || testing.Short() {
		t.Skip("not on the emulator, or short")
	}
	for _, m := range []struct{ name, file, old, spoilt, family string }{
		{"no mistake", "linear.cu", "    y.put(right);\n    __syncthreads();", "    y.put(right);\n\n    __syncthreads();", "linear"},
		{"barrier before the product", "linear.cu", "    y.put(right);\n    __syncthreads();", "    y.put(right);", "linear"},
		{"barrier after the product", "linear.cu", "    __syncthreads();\n  }\n  if (sums_here", "  }\n  if (sums_here", "linear"},
		{"barrier in the sums of rows", "channel_sums.cuh", "    __syncthreads();\n    if (row + half < rows)", "    if (row + half < rows)", "batch_norm"},
		{"barrier in the excitation", "excitation.cuh", "      __syncthreads();  // the chunk before is multiplied\n", "", "excitation"},
		{"barrier in the sum of a block", "reduce.cuh", "  __syncthreads();\n  return warp_sum", "  return warp_sum", "softmax_cross_entropy"},
		{"a pixel too few", "bn_se_add_relu.cu", "min(per, hw - split * per)", "min(per, hw - split * per - 1)", "batch_norm"},
		{"a window too few", "pool.cuh", "for (int b = 0;", "for (int b = 1;", "max_pool"},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			dir, err := emu.BuildMutated(kernelsDir, m.file, m.old, m.spoilt)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for seed := 1; seed <= 3 && !found; seed++ {
				cmd := exec.Command(os.Args[0], "-test.run", fmt.Sprintf("^TestConformance$/^float32$/^%s$", m.family), "-seed", strconv.Itoa(seed))
				cmd.Env = emu.Environ(dir)
				out, err := cmd.CombinedOutput()
				found = err != nil
				if found && !strings.Contains(string(out), "--- FAIL: TestConformance/float32/"+m.family) {
					t.Fatalf("the suite did not run: %v\n%s", err, out)
				}
			}
			if want := m.name != "no mistake"; found != want {
				t.Errorf("%q in place of %q: the suite found a mistake: %v, want %v", m.spoilt, m.old, found, want)
			}
		})
	}
}

var kernelsDir = filepath.Join("..", "kernels")
