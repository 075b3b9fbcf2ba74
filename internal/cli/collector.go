package cli

import (
	"cmp"
	"slices"

	"senet/internal/data"
	"senet/internal/report"
)

// collector gathers what the report shows of each prediction.
type collector struct {
	h, w, c   int
	confusion [][]int
	right     []report.Example // the first of each class that was predicted rightly
	wrong     []report.Example // the most confident mistakes, most confident first
}

// shownMistakes is one row of the report.
const shownMistakes = 10

func newCollector(src data.Source) *collector {
	k := len(src.Classes())
	c := &collector{confusion: make([][]int, k), right: make([]report.Example, k)}
	c.h, c.w, c.c = src.Shape()
	for i := range c.confusion {
		c.confusion[i] = make([]int, k)
	}
	return c
}

func (c *collector) add(b *data.Batch, logits [][]float32) error {
	labels, pixels := b.Labels.Data().([]int32), b.Images.Data().([]uint8)
	size := c.h * c.w * c.c
	for i, row := range logits {
		top := rank(row, 3)
		label, predicted := int(labels[i]), top[0].Class
		c.confusion[label][predicted]++
		isRight := label == predicted
		if isRight && c.right[label].Top != nil || !isRight && !c.ranks(top[0].Probability) {
			continue
		}
		e := report.Example{Pixels: slices.Clone(pixels[i*size : (i+1)*size]), H: c.h, W: c.w, C: c.c, Label: label, Top: top}
		if isRight {
			c.right[label] = e
			continue
		}
		c.wrong = append(c.wrong, e)
		slices.SortStableFunc(c.wrong, func(a, b report.Example) int { return cmp.Compare(b.Top[0].Probability, a.Top[0].Probability) })
		c.wrong = c.wrong[:min(len(c.wrong), shownMistakes)]
	}
	return nil
}

// ranks reports whether a mistake of that confidence is among the most confident so far.
func (c *collector) ranks(p float64) bool {
	return len(c.wrong) < shownMistakes || p > c.wrong[len(c.wrong)-1].Top[0].Probability
}

func (c *collector) examples() []report.Example {
	seen := slices.DeleteFunc(slices.Clone(c.right), func(e report.Example) bool { return e.Top == nil })
	return append(seen, c.wrong...)
}
