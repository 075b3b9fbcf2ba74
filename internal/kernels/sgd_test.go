package kernels

import (
	"slices"
	"testing"

	"senet/internal/graph"
)

// TestChunksCoverEveryElementOnce: also of a tensor that ends at a chunk's end, and of one that is shorter than a chunk.
func TestChunksCoverEveryElementOnce(t *testing.T) {
	var vs []*graph.Value
	var want []uint64
	for i, count := range []int{1, chunk - 1, chunk, chunk + 1, 3 * chunk} {
		vs = append(vs, &graph.Value{Shape: graph.Shape{count}})
		for at := 0; at < count; at += chunk {
			want = append(want, uint64(i)<<32|uint64(at/chunk))
		}
	}
	var have []uint64
	for _, a := range chunks(vs) {
		have = append(have, a.Bits)
	}
	if !slices.Equal(have, want) {
		t.Errorf("chunks %x, want %x", have, want)
	}
}

// TestSGDWritesTheCopies: those that convolutions read, and only where maps are not float32.
func TestSGDWritesTheCopies(t *testing.T) {
	g := graph.New()
	image := g.Input("image", graph.Shape{2, 8, 8, 3}, graph.Uint8)
	labels := g.Input("labels", graph.Shape{2}, graph.Int32)
	x := g.Normalize("normalize", image, make([]float32, 3), []float32{1, 1, 1})
	x = g.Conv("conv", x, g.Param("conv.weight", graph.Shape{8, 3, 3, 3}, graph.Kaiming()), nil, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1})
	logits := g.Linear("fc", g.GlobalAvgPool("pool", x), g.Param("fc.weight", graph.Shape{5, 8}, graph.Kaiming()), g.Param("fc.bias", graph.Shape{5}, graph.Zeros()))
	ends := graph.Ends{Image: image, Labels: labels, Logits: logits, Loss: g.SoftmaxCrossEntropy("loss", logits, graph.Targets{Labels: labels}, graph.LossAttr{})}
	program, err := graph.Training(g, ends, graph.TrainingOptions{LossScale: true})
	if err != nil {
		t.Fatal(err)
	}
	n := program.Phases[graph.Update][0]
	const words, elements = 6, 8*27 + 5*8 + 5
	for precision, copies := range map[Precision]int{Float32: 0, TF32: 0, BFloat16: 8 * 27, Float16: 8 * 27} {
		plan, err := NewPlanner(program, precision, Device{Compute: 90, SMs: 132}).Plan(n)
		if err != nil {
			t.Fatal(err)
		}
		l := plan.Launches[0]
		if len(plan.Launches) != 1 || l.Grid.X != 3 || l.Args[3].Value != program.LossScale || l.Kernel != "sgd_"+precision.Map().String() {
			t.Errorf("%s: launches %+v", precision, plan.Launches)
		}
		for i, name := range []string{"conv.weight", "fc.weight", "fc.bias"} {
			entry := l.Args[0].Table[i*words:][:words]
			if entry[0].Value.Name != name || entry[1].Value.Name != name+".momentum" || entry[2].Value != program.Grads[entry[0].Value] {
				t.Errorf("%s: entry %d is %+v", precision, i, entry)
			}
			if copied := entry[3].Kind == ArgCopy; copied != (copies > 0 && i == 0) || copied && entry[3].Value != entry[0].Value {
				t.Errorf("%s: the copy of %s is %+v", precision, name, entry[3])
			}
			if decay := entry[5].Bits == 1; entry[4].Bits != uint64(entry[0].Value.Shape.Elems()) || decay != (i < 2) {
				t.Errorf("%s: %s has %+v elements, decay %+v", precision, name, entry[4], entry[5])
			}
		}
		if want := int64(20*elements + 2*copies); l.Bytes != want {
			t.Errorf("%s: moves %d bytes, want %d", precision, l.Bytes, want)
		}
	}
}
