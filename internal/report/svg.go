package report

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size of a plot in points; the page scales it to its column.
const plotWidth, plotHeight = 440, 220

// Colours stand for the style sheet's variables, which differ between light and dark: the drawing
// library knows only fixed ones, so these are replaced in its output.
var (
	inkColor  = color.RGBA{R: 1, G: 0, B: 1, A: 255}
	gridColor = color.RGBA{R: 1, G: 0, B: 2, A: 255}

	toStyle = strings.NewReplacer(styles()...)
)

// sans is the font of all texts.
var sans = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 11}

// maxLines is how many lines a plot can have: the style sheet has as many colours.
const maxLines = 8

func lineColor(i int) color.RGBA { return color.RGBA{R: 1, G: 0, B: uint8(3 + i), A: 255} }

// styles pairs what the drawing library writes with what the page wants.
func styles() []string {
	s := []string{"#010001", "var(--muted)", "#010002", "var(--grid)", "font-family:Liberation Sans", "font-family:inherit"}
	for i := range maxLines {
		s = append(s, fmt.Sprintf("#0100%02X", lineColor(i).B), fmt.Sprintf("var(--line-%d)", i+1))
	}
	return s
}

// drawSVG plots lines, at most maxLines, over epochs as an svg element. The y axis starts at from, or at the lowest value if
// from is NaN.
func drawSVG(lines []line, from float64) (template.HTML, error) {
	p := plot.New()
	p.BackgroundColor = nil
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color, grid.Horizontal.Width = nil, gridColor, 1
	p.Add(grid)
	for i, l := range lines {
		if err := addLine(p, l, lineColor(i)); err != nil {
			return "", err
		}
	}
	if !math.IsNaN(from) {
		p.Y.Min = min(p.Y.Min, from)
	}
	p.X.Label.Text = "epoch"
	styleAxis(&p.X, 0, math.Ceil(p.X.Max), 6)
	styleAxis(&p.Y, p.Y.Min, p.Y.Max, 5)

	canvas := vgsvg.NewWith(vgsvg.UseWH(plotWidth, plotHeight))
	p.Draw(draw.Crop(draw.New(canvas), 2, -10, 2, -6)) // room for the half of the outermost labels
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", err
	}
	// The svg element's own size, and the XML prologue before it, have no place in a page.
	_, drawing, ok := strings.Cut(b.String(), "<g")
	if !ok {
		return "", errors.New("the drawing is empty")
	}
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" aria-hidden="true"><g`, plotWidth, plotHeight) + toStyle.Replace(drawing)), nil
}

func addLine(p *plot.Plot, l line, c color.Color) error {
	if len(l.Points) == 0 {
		return nil
	}
	path, dots, err := plotter.NewLinePoints(l.Points)
	if err != nil {
		return err
	}
	path.Color, path.Width = c, 1.75
	p.Add(path)
	if l.Dots || len(l.Points) == 1 {
		dots.GlyphStyle = draw.GlyphStyle{Color: c, Radius: 3, Shape: draw.CircleGlyph{}}
		p.Add(dots)
	}
	return nil
}

// styleAxis labels an axis at about count round numbers and lets it end at such a number.
func styleAxis(a *plot.Axis, low, high float64, count int) {
	if high <= low { // a constant
		high = low + max(1, math.Abs(low))
	}
	step := roundStep((high - low) / float64(count))
	a.Min, a.Max = math.Floor(low/step)*step, math.Ceil(high/step)*step
	a.LineStyle.Width, a.Tick.LineStyle.Width, a.Tick.Length = 0, 0, 3
	a.Tick.Label.Font, a.Tick.Label.Color, a.Tick.Marker = sans, inkColor, plot.ConstantTicks(ticks(a.Min, a.Max, step))
	a.Label.TextStyle.Font, a.Label.TextStyle.Color = sans, inkColor
}

// roundStep is the smallest 1, 2 or 5 times a power of ten that is at least x.
func roundStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, times := range []float64{1, 2, 5} {
		if x <= times*power*(1+1e-9) {
			return times * power
		}
	}
	return 10 * power
}

// ticks are the multiples of step from low to high, which are such multiples.
func ticks(low, high, step float64) []plot.Tick {
	decimals := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	var ts []plot.Tick
	first := math.Round(low / step)
	for i := range int(math.Round(high/step)-first) + 1 {
		x := (first + float64(i)) * step
		ts = append(ts, plot.Tick{Value: x, Label: strconv.FormatFloat(x, 'f', decimals, 64)})
	}
	return ts
}
