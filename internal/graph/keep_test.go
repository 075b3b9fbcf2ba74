package graph

import (
	"slices"
	"strings"
	"testing"
)

// TestKeptValuesOutliveTheirLastReader: what comes later may not overwrite them, in place or elsewhere.
func TestKeptValuesOutliveTheirLastReader(t *testing.T) {
	g := New()
	image := g.Input("image", Shape{1, 4, 4, 1}, Uint8)
	x := g.Normalize("normalize", image, []float32{0.5}, []float32{0.5})
	first := g.ReLU("first", x)
	second := g.Sigmoid("second", first) // in place of first, unless that is kept
	logits := g.Tanh("third", second)
	size := func(v *Value) int64 { return v.Bytes() }
	for _, keep := range [][]*Value{nil, {first}} {
		p, err := Inference(g, Ends{Image: image, Logits: logits}, InferenceOptions{Keep: keep})
		if err != nil {
			t.Fatal(err)
		}
		m := PlanMemory(p, size)
		if shared := m.Offset[first.ID] == m.Offset[logits.ID]; shared != (keep == nil) {
			t.Errorf("kept %d: shares its place with a later value: %v", len(keep), shared)
		}
		if slices.Contains(p.Outputs(), first) != (keep != nil) {
			t.Errorf("kept %d: outputs %v", len(keep), p.Outputs())
		}
	}
	for _, bad := range []*Value{image, g.Param("weight", Shape{1}, Ones())} {
		_, err := Inference(g, Ends{Image: image, Logits: logits}, InferenceOptions{Keep: []*Value{bad}})
		if err == nil || !strings.Contains(err.Error(), bad.Name) {
			t.Errorf("keep %s: have error %v, want one that names it", bad.Name, err)
		}
	}
}
