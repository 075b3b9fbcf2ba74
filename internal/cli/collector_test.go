package cli

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/data"
	"senet/internal/report"
)

// fourClasses is a source of 1x2 images that nobody reads.
type fourClasses struct{}

func (fourClasses) Len() int                         { return 100 }
func (fourClasses) Shape() (h, w, c int)             { return 1, 2, 1 }
func (fourClasses) Classes() []string                { return []string{"a", "b", "c", "d"} }
func (fourClasses) Read(int, []uint8) (int32, error) { panic("not read") }

// guess is a prediction of class with the given probability; the other three share the rest.
func guess(class int, p float64) []float32 {
	row := slices.Repeat([]float32{float32(math.Log((1 - p) / 3))}, 4)
	row[class] = float32(math.Log(p))
	return row
}

// batch gives image i the pixels {i, i+1}; rows past the labels only fill up.
func batch(first int, labels ...int32) *data.Batch {
	const rows = 20
	var pixels []uint8
	for i := range rows {
		pixels = append(pixels, uint8(first+i), uint8(first+i+1))
	}
	size := len(labels)
	labels = append(labels, slices.Repeat([]int32{-1}, rows-size)...)
	return &data.Batch{
		Images: tensor.New(tensor.WithShape(rows, 1, 2, 1), tensor.WithBacking(pixels)),
		Labels: tensor.New(tensor.WithShape(rows), tensor.WithBacking(labels)), Size: size,
	}
}

// TestCollector: the report shows the first right image of each class, in the order of the classes,
// then the ten most confident mistakes of all batches, each with its own pixels.
func TestCollector(t *testing.T) {
	c := newCollector(fourClasses{})
	first := batch(100, 2, 0, 2, 1, 1)
	if err := c.add(first, [][]float32{guess(2, 0.7), guess(0, 0.6), guess(2, 0.9), guess(3, 0.5), guess(0, 0.95)}); err != nil {
		t.Fatal(err)
	}
	var labels []int32
	var rows [][]float32
	for i := range 11 {
		labels = append(labels, 3)
		rows = append(rows, guess(1, 0.40+0.01*float64((i*7)%11))) // 0.40 to 0.50, in no order
	}
	if err := c.add(batch(200, labels...), rows); err != nil {
		t.Fatal(err)
	}
	clear(first.Images.Data().([]uint8)) // as the loader does when it fills the batch anew

	want := [][]int{{1, 0, 0, 0}, {1, 0, 0, 1}, {0, 0, 2, 0}, {0, 11, 0, 0}}
	if !slices.EqualFunc(c.confusion, want, slices.Equal) {
		t.Errorf("confusion %v, want %v", c.confusion, want)
	}
	shown := c.examples()
	if len(shown) != 2+shownMistakes {
		t.Fatalf("%d examples", len(shown))
	}
	check := func(e report.Example, label, predicted int, p float64, pixel uint8) {
		t.Helper()
		if e.Label != label || e.Top[0].Class != predicted || len(e.Top) != 3 || !(math.Abs(e.Top[0].Probability-p) < 1e-6) {
			t.Errorf("label %d, top %v, want label %d, class %d with %v and two more", e.Label, e.Top, label, predicted, p)
		}
		if e.H != 1 || e.W != 2 || e.C != 1 || !bytes.Equal(e.Pixels, []uint8{pixel, pixel + 1}) {
			t.Errorf("label %d: %dx%dx%d pixels %v, want the first %d", e.Label, e.H, e.W, e.C, e.Pixels, pixel)
		}
	}
	check(shown[0], 0, 0, 0.6, 101)
	check(shown[1], 2, 2, 0.7, 100)
	check(shown[2], 1, 0, 0.95, 104)
	for i, e := range shown[3:] { // 0.50 twice, the image of the first batch before that of the second; then 0.49 and so on
		label, predicted, p := 3, 1, 0.5-0.01*float64(i-1)
		if i == 0 {
			label, predicted, p = 1, 3, 0.5
		}
		if e.Label != label || e.Top[0].Class != predicted || !(math.Abs(e.Top[0].Probability-p) < 1e-6) {
			t.Errorf("mistake %d: label %d, top %v, want label %d, class %d with %v", i+1, e.Label, e.Top[0], label, predicted, p)
		}
	}
}
