package cpu

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
)

// TestPredictedMemory: the planned peak is what a training step really takes, within 2 %. The process's resident memory grows by
// it between compiling the network and the end of the second step, once the same has been done before: what Go's heap and oneDNN's
// code take, which no plan knows, is there already.
func TestPredictedMemory(t *testing.T) {
	b := open(t, Options{Threads: 2})
	for _, c := range []struct {
		name                  string
		batch, size, channels int
	}{
		{"seresnet20_cifar", 256, 28, 1},
		{"seresnet50", 8, 128, 3},
	} {
		_, p := network(t, c.name, c.batch, c.size, c.channels, true)
		twoSteps(t, b, p)
		grown, planned := twoSteps(t, b, p)
		share := float64(grown) / float64(planned)
		t.Logf("%s: planned %d bytes, grown by %d (%.3f)", c.name, planned, grown, share)
		if !(share > 0.98 && share < 1.02) {
			t.Errorf("%s: planned %d bytes, resident memory grew by %d", c.name, planned, grown)
		}
	}
}

// twoSteps compiles p, takes two steps and returns by how many bytes resident memory has grown, and by how many it should have.
func twoSteps(t *testing.T, b backend.Backend, p *graph.Program) (grown, planned int64) {
	t.Helper()
	debug.FreeOSMemory()
	before := resident(t)
	exe := start(t, b, p)
	for range 2 {
		for _, ph := range []graph.Phase{graph.Step, graph.Update} {
			if err := exe.Run(ph); err != nil {
				t.Fatal(err)
			}
		}
	}
	debug.FreeOSMemory()
	grown, planned = resident(t)-before, exe.Memory().Peak()
	if err := exe.Close(); err != nil {
		t.Fatal(err)
	}
	return grown, planned
}

// TestFoldedWeightsLieAsTheConvolutionLikesThem: kept in plain order they would be copied in every step, which at batch 1 costs
// SE-ResNet-50 a tenth of its time.
func TestFoldedWeightsLieAsTheConvolutionLikesThem(t *testing.T) {
	b := open(t, Options{Threads: 1})
	_, p := network(t, "seresnet50", 1, 64, 3, false)
	compiled, err := b.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	defer compiled.Close()
	e, squeezed := compiled.(*executable), 0
	for _, n := range p.Phases[graph.Step] {
		if n.Op == graph.EarlySqueeze {
			squeezed++
		}
		if n.Op == graph.Conv && (e.plain[n.In[1]] || e.weights[n.In[1]] == nil) {
			t.Errorf("%s: the weight lies in plain order", n.Name)
		}
	}
	if squeezed != 16 {
		t.Errorf("%d early squeezes, want 16", squeezed)
	}
}

// resident is the process's resident memory in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc/self/statm: ", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
