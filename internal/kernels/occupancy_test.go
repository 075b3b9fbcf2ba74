package kernels

import (
	"slices"
	"strconv"
	"testing"

	"senet/internal/graph"
)

// TestSumsAreResidentAtOnce: on every architecture, the blocks of the passes that sum over maps fit on the multiprocessors
// together, and where images are many they take most of the places.
func TestSumsAreResidentAtOnce(t *testing.T) {
	for _, compute := range []int{80, 86, 89, 90, 100, 120} {
		for _, precision := range []Precision{Float32, BFloat16, Float16} {
			p := NewPlanner(&graph.Program{}, precision, Device{Compute: compute, SMs: 132})
			for _, kernel := range []string{
				"bn_se_add_relu_sums", "bn_se_add_relu_grad_sums_out", "bn_se_add_relu_grad_sums_y", "bn_se_add_relu_grad_sums_projection",
				pixelSumsKernel, "scale_grad",
			} {
				for _, c := range []int{64, 63} {
					v := &graph.Value{Shape: graph.Shape{64, c, 112, 112}}
					s := p.sumStretches(v, kernel)
					places := min(p.resident(variant(kernel, s.t, s.width), stretchThreads), sumBlocks) * p.SMs
					if blocks := s.n * s.tiles * s.splits; blocks > places || blocks < places*3/4 {
						t.Errorf("%s, %v, compute %d, %d channels: %d blocks for %d places", kernel, precision, compute, c, blocks, places)
					}
				}
			}
		}
	}
}

// TestResident: a kernel's row of the table gives 65536 registers over the threads', rounded up to 8 each.
func TestResident(t *testing.T) {
	head := usage()["kernel"]
	for _, c := range []struct {
		compute int
		column  string
	}{{80, "sm_80"}, {87, "sm_86"}, {90, "sm_90"}, {103, "sm_100"}, {130, "sm_120"}} {
		const kernel = "bn_se_add_relu_grad_sums_projection_bf16x8"
		registers, err := strconv.Atoi(usage()[kernel][slices.Index(head, c.column)])
		if err != nil {
			t.Fatal(err)
		}
		want := 65536 / (128 * ((registers + 7) / 8 * 8))
		if got := (Device{Compute: c.compute}).resident(kernel, 128); got != want || got < 3 {
			t.Errorf("compute %d, %d registers: %d blocks, want %d", c.compute, registers, got, want)
		}
	}
}
