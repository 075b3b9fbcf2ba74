package report

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"slices"
)

// shownPredictions is how many predictions are shown of each example.
const shownPredictions = 3

type exampleGroup struct {
	Title    string
	Examples []exampleView
}

type exampleView struct {
	Label string
	Image template.URL // a PNG as data URI
	Small bool         // so small that its pixels are to be seen
	Alt   string
	Top   []predictionView
}

type predictionView struct {
	Name    string
	Percent string // also the bar's width
	Kind    string // true: the true class; mistake: the most probable one, if it is another; or empty
}

// newExamples splits the examples into those predicted correctly, in their order, and the
// mistakes, the most confident first. A group without examples is left out.
func newExamples(e Evaluation) ([]exampleGroup, error) {
	var right, wrong []Example
	for _, x := range e.Examples {
		if x.right() {
			right = append(right, x)
		} else {
			wrong = append(wrong, x)
		}
	}
	slices.SortStableFunc(wrong, func(a, b Example) int { return cmp.Compare(b.Top[0].Probability, a.Top[0].Probability) })
	var groups []exampleGroup
	for _, g := range []struct {
		title    string
		examples []Example
	}{{"Correct predictions", right}, {"Most confident mistakes", wrong}} {
		if len(g.examples) == 0 {
			continue
		}
		group := exampleGroup{Title: g.title}
		for _, x := range g.examples {
			view, err := newExample(x, e.Classes)
			if err != nil {
				return nil, err
			}
			group.Examples = append(group.Examples, view)
		}
		groups = append(groups, group)
	}
	return groups, nil
}

func (x Example) right() bool { return x.Top[0].Class == x.Label }

func newExample(x Example, classes []string) (exampleView, error) {
	uri, err := x.dataURI()
	if err != nil {
		return exampleView{}, err
	}
	v := exampleView{
		Label: classes[x.Label], Image: uri, Small: x.W < 100,
		Alt: fmt.Sprintf("Image of class %s, predicted as %s", classes[x.Label], classes[x.Top[0].Class]),
	}
	for i, p := range x.Top[:min(len(x.Top), shownPredictions)] {
		kind := ""
		switch {
		case p.Class == x.Label:
			kind = "true"
		case i == 0:
			kind = "mistake"
		}
		v.Top = append(v.Top, predictionView{classes[p.Class], fmt.Sprintf("%.1f", 100*p.Probability), kind})
	}
	return v, nil
}

// dataURI is the image as a PNG within an address.
func (x Example) dataURI() (template.URL, error) {
	var img image.Image
	if x.C == 1 {
		img = &image.Gray{Pix: x.Pixels, Stride: x.W, Rect: image.Rect(0, 0, x.W, x.H)}
	} else {
		rgb := image.NewNRGBA(image.Rect(0, 0, x.W, x.H))
		for i := range x.H * x.W {
			p := x.Pixels[3*i:]
			rgb.SetNRGBA(i%x.W, i/x.W, color.NRGBA{R: p[0], G: p[1], B: p[2], A: 255})
		}
		img = rgb
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return "", fmt.Errorf("encode PNG: %w", err)
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil
}
