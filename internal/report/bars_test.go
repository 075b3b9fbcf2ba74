package report

import (
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestBarsAreAsHighAsTheirValues(t *testing.T) {
	c := Bars{Title: "What <SE> adds", Groups: []string{"a & b", "c"}, Series: []Series{
		{"parameters", []Bar{{10, 10, 10}, {20, 20, 20}}},
		{"time", []Bar{{5, 4, 6}, {math.NaN(), math.NaN(), math.NaN()}}},
		{"memory", []Bar{{-5, -7, -2}, {0, 0, 0}}},
	}}
	var b strings.Builder
	if err := WriteBars(&b, c); err != nil {
		t.Fatal(err)
	}
	svg := b.String()
	es := parse(t, svg[strings.Index(svg, "<svg"):])
	all := strings.Join(texts(es, named("text")), "|")
	for _, want := range []string{"What <SE> adds", "a & b", "c", "parameters", "time", "memory", "10.0", "20.0", "5.0", "-5.0", "0.0"} {
		if !strings.Contains("|"+all+"|", "|"+want+"|") {
			t.Errorf("the texts %q lack %q", all, want)
		}
	}
	heights := barHeights(t, svg)
	if len(heights["#2563eb"]) != 2+1 || len(heights["#d97706"]) != 1+1 || len(heights["#15803d"]) != 2+1 { // and the legend's
		t.Fatalf("bars by colour: %v", heights)
	}
	unit := heights["#2563eb"][0] / 10
	for _, c := range []struct{ have, want float64 }{
		{heights["#2563eb"][1], 20 * unit}, {heights["#d97706"][0], 5 * unit}, {heights["#15803d"][0], 5 * unit}, {heights["#15803d"][1], 0},
	} {
		if !(math.Abs(c.have-c.want) < 0.02*10*unit) || !(unit > 1) {
			t.Errorf("a bar of %v, want %v", c.have, c.want)
		}
	}
	if n := strings.Count(svg, "stroke-width:1.5"); n != 2 {
		t.Errorf("%d ranges, want those of 5 and -5", n)
	}
	if strings.Contains(svg, "#0100") {
		t.Error("placeholders of colours are left")
	}
}

var filled = regexp.MustCompile(`<path d="(M[^"]*)"\s+style="fill:(#[0-9a-f]{6})`)

// barHeights are those of the filled shapes by colour, in the order they are drawn.
func barHeights(t *testing.T, svg string) map[string][]float64 {
	t.Helper()
	heights := map[string][]float64{}
	for _, m := range filled.FindAllStringSubmatch(svg, -1) {
		low, high := math.Inf(1), math.Inf(-1)
		for _, point := range strings.FieldsFunc(m[1], func(r rune) bool { return r == 'M' || r == 'L' || r == 'Z' }) {
			_, y, _ := strings.Cut(point, ",")
			v, err := strconv.ParseFloat(y, 64)
			if err != nil {
				t.Fatalf("%q: %v", m[1], err)
			}
			low, high = min(low, v), max(high, v)
		}
		heights[m[2]] = append(heights[m[2]], high-low)
	}
	return heights
}

func TestBarsErrors(t *testing.T) {
	one := []Bar{{1, 1, 1}}
	for want, c := range map[string]Bars{
		"0 groups":                    {Series: []Series{{"a", nil}}},
		"1 groups of 0 series":        {Groups: []string{"a"}},
		`series "b" has 1 bars for 2`: {Groups: []string{"a", "b"}, Series: []Series{{"b", one}}},
	} {
		if err := WriteBars(io.Discard, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have error %v, want %q", err, want)
		}
	}
	if err := WriteBars(fullDisk{}, Bars{Groups: []string{"a"}, Series: []Series{{"a", one}}}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("have error %v, want the writer's", err)
	}
}
