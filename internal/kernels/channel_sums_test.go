package kernels

import (
	"testing"

	"senet/internal/graph"
)

// TestStretchesCover: every pixel and channel belongs to exactly one thread, in blocks that the kernels have room for.
func TestStretchesCover(t *testing.T) {
	for _, precision := range []Precision{Float32, BFloat16} {
		p := NewPlanner(&graph.Program{}, precision, h100)
		for _, n := range []int{1, 3, 32, 256} {
			for _, c := range []int{1, 3, 8, 17, 24, 64, 96, 320, 520, 2048} {
				for _, hw := range []int{1, 7, 49, 3136} {
					v := &graph.Value{Shape: graph.Shape{n, c, hw, 1}}
					for kind, s := range map[string]stretches{"sum": p.sumStretches(v, pixelSumsKernel), "write": p.writeStretches(v)} {
						if s.lanes*s.rows > stretchThreads || s.rows < 1 || s.tiles*s.lanes*s.width < c || (s.tiles-1)*s.lanes*s.width >= c {
							t.Errorf("%s %v %v: %+v", kind, precision, v.Shape, s)
						}
						if s.splits*s.per < hw || (s.splits-1)*s.per >= hw {
							t.Errorf("%s %v %v: pixels %+v", kind, precision, v.Shape, s)
						}
					}
					if s := p.sumStretches(v, pixelSumsKernel); s.splits > mostStretches || s.splits > 1 && n*s.tiles*s.splits > sumBlocks*h100.SMs {
						t.Errorf("%v %v: %d stretches leave too many partial sums", precision, v.Shape, s.splits)
					}
				}
			}
		}
	}
}

// TestStretchesFillTheDevice: the maps of SE-ResNet-50 give each multiprocessor most of the blocks that it can hold.
func TestStretchesFillTheDevice(t *testing.T) {
	p := NewPlanner(&graph.Program{}, BFloat16, h100)
	for _, shape := range []graph.Shape{{256, 64, 112, 112}, {256, 64, 56, 56}, {256, 256, 56, 56}, {256, 512, 28, 28}, {256, 1024, 14, 14}, {256, 2048, 7, 7}, {32, 256, 56, 56}} {
		v := &graph.Value{Shape: shape}
		s := p.sumStretches(v, pixelSumsKernel)
		if blocks := s.n * s.tiles * s.splits; blocks < 3*h100.SMs {
			t.Errorf("%v: %d blocks that sum", shape, blocks)
		}
		if w := p.writeStretches(v); w.n*w.tiles*w.splits < 6*h100.SMs || w.per < 8*w.rows {
			t.Errorf("%v: blocks that write: %+v", shape, w)
		}
	}
}

// TestSmallProductsFillTheDevice: sums over channels are cut until the multiprocessors have work, in whole chunks.
func TestSmallProductsFillTheDevice(t *testing.T) {
	p := NewPlanner(&graph.Program{}, Float32, h100)
	for _, c := range []struct{ n, c, r, blocks int }{{256, 2048, 128, 128}, {256, 256, 16, 32}, {32, 2048, 128, 32}, {17, 5, 3, 1}} {
		tiles, per, parts := p.sumOverChannels(c.n, c.c, c.r)
		if blocks := tiles.X * tiles.Y * tiles.Z; blocks != c.blocks {
			t.Errorf("%+v: %d blocks", c, blocks)
		}
		if per%productChunk != 0 || per*parts < c.c || per*(parts-1) >= c.c {
			t.Errorf("%+v: %d parts of %d channels", c, parts, per)
		}
	}
}

// TestFewImagesReadWeightsFast: at batch 1 the squeeze and excitation of a block take three launches, of a block for each output.
func TestFewImagesReadWeightsFast(t *testing.T) {
	v := func(dims ...int) *graph.Value { return &graph.Value{Shape: dims} }
	h := v(1, 128)
	squeeze := &graph.Node{
		Op: graph.EarlySqueeze, Attr: graph.EarlySqueezeAttr{Stride: 1},
		In: []*graph.Value{v(1, 512, 7, 7), v(128, 512, 1, 1), v(128)}, Out: []*graph.Value{h},
	}
	excite := &graph.Node{Op: graph.Excitation, In: []*graph.Value{h, v(2048, 128), nil}, Out: []*graph.Value{v(1, 2048)}}
	launches := append(planned(t, BFloat16, squeeze).Launches, planned(t, BFloat16, excite).Launches...)
	if len(launches) != 3 {
		t.Fatalf("%d launches", len(launches))
	}
	for i, want := range []struct {
		kernel string
		blocks int
	}{{"global_avg_pool_sums_bf16x8", 6}, {"early_squeeze_few", 128}, {"excitation_gate_few", 2048}} {
		l := launches[i]
		if blocks := max(l.Grid.X, 1) * max(l.Grid.Y, 1) * max(l.Grid.Z, 1); l.Kernel != want.kernel || blocks != want.blocks {
			t.Errorf("launch %d: %s in %d blocks, want %+v", i, l.Kernel, blocks, want)
		}
	}
}
