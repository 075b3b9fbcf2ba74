package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Bars is a chart of percentages: a group of bars for each of some things, a bar of each series in it.
type Bars struct {
	Title  string
	Groups []string
	Series []Series // 1 to 8
}

// Series are the bars of one colour, one for each group.
type Series struct {
	Name string
	Bars []Bar
}

// Bar is a value, in percent, with the range that is marked on it. A value that is not finite has no bar.
type Bar struct{ Value, Low, High float64 }

// Size of a group, and of what stands around all of them, in points.
const (
	barsHeight   = 300
	groupWidth   = 200
	barsMargin   = 60
	groupFilling = 0.8 // share of a group's width that bars take
)

// barColors stand for the placeholders of svg.go in a drawing of its own.
var barColors = strings.NewReplacer(
	"#010001", "#5f6b7e", "#010002", "#e6e9ee", "#010003", "#2563eb", "#010004", "#d97706", "#010005", "#15803d", "#010006", "#be185d",
	"#010007", "#0e7490", "#010008", "#7c3aed", "#010009", "#854d0e", "#01000A", "#475569",
	"font-family:Liberation Sans", "font-family:Liberation Sans,Arial,sans-serif",
)

// WriteBars writes c as an SVG file.
func WriteBars(w io.Writer, c Bars) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("chart: %w", err)
	}
	p := plot.New()
	p.Title.Text = c.Title
	p.Title.TextStyle.Font, p.Title.TextStyle.Color = sans, inkColor
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color, grid.Horizontal.Width = nil, gridColor, 1
	p.Add(grid)
	low, high := 0.0, 0.0
	for i, s := range c.Series {
		p.Legend.Add(s.Name, swatch{i})
		for j, b := range s.Bars {
			if !finite(b.Value) {
				continue
			}
			low, high = min(low, b.Low), max(high, b.High)
			left := float64(j) + groupFilling*(float64(i)/float64(len(c.Series))-0.5)
			if err := addBar(p, i, left, groupFilling/float64(len(c.Series)), b); err != nil {
				return fmt.Errorf("chart: %w", err)
			}
		}
	}
	p.Legend.Top, p.Legend.Padding, p.Legend.TextStyle.Font, p.Legend.TextStyle.Color = true, 3, sans, inkColor
	p.NominalX(c.Groups...)
	p.X.LineStyle.Width, p.X.Tick.LineStyle.Width, p.X.Tick.Label.Font, p.X.Tick.Label.Color = 0, 0, sans, inkColor
	p.X.Min, p.X.Max = -0.5, float64(len(c.Groups))-0.5
	styleAxis(&p.Y, low, high*1.35, 5) // room for the legend
	p.Y.Label.Text = "%"
	return writeSVG(w, p, vg.Length(barsMargin+groupWidth*len(c.Groups)), barsHeight)
}

func writeSVG(w io.Writer, p *plot.Plot, width, height vg.Length) error {
	canvas := vgsvg.NewWith(vgsvg.UseWH(width, height))
	p.Draw(draw.Crop(draw.New(canvas), 4, -10, 4, -6))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return fmt.Errorf("chart: %w", err)
	}
	_, err := barColors.WriteString(w, b.String())
	return err
}

func (c Bars) check() error {
	if len(c.Groups) == 0 || len(c.Series) == 0 || len(c.Series) > maxLines {
		return fmt.Errorf("%d groups of %d series, want at least one and at most %d series", len(c.Groups), len(c.Series), maxLines)
	}
	for _, s := range c.Series {
		if len(s.Bars) != len(c.Groups) {
			return fmt.Errorf("series %q has %d bars for %d groups", s.Name, len(s.Bars), len(c.Groups))
		}
	}
	return nil
}

// addBar draws a bar with its value above it and its range as a line.
func addBar(p *plot.Plot, series int, left, width float64, b Bar) error {
	right := left + 0.9*width
	bar, err := plotter.NewPolygon(plotter.XYs{{X: left, Y: 0}, {X: left, Y: b.Value}, {X: right, Y: b.Value}, {X: right, Y: 0}})
	if err != nil {
		return err
	}
	bar.Color, bar.LineStyle.Width = lineColor(series), 0
	middle := (left + right) / 2
	label, err := plotter.NewLabels(plotter.XYLabels{
		XYs: plotter.XYs{{X: middle, Y: max(b.High, 0)}}, Labels: []string{fmt.Sprintf("%.1f", b.Value)},
	})
	if err != nil {
		return err
	}
	label.TextStyle[0].Font, label.TextStyle[0].Color, label.TextStyle[0].XAlign, label.Offset.Y = sans, inkColor, text.XCenter, 2
	p.Add(bar, label)
	if b.Low == b.High || math.IsNaN(b.Low+b.High) {
		return nil
	}
	span, err := plotter.NewLine(plotter.XYs{{X: middle, Y: b.Low}, {X: middle, Y: b.High}})
	if err != nil {
		return err
	}
	span.Color, span.Width = inkColor, 1.5
	p.Add(span)
	return nil
}

// swatch is a series in the legend.
type swatch struct{ series int }

// Thumbnail fills the legend's place with the colour.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(lineColor(s.series), []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Min.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Min.Y}})
}
