package report

import (
	"fmt"
	"math"
)

// maxMatrix is the most classes whose confusion matrix is still readable as a table.
const maxMatrix = 32

// confusion is what the report shows of the confusion matrix: the table itself, or for many
// classes one row each with what the class is mistaken for most often.
type confusion struct {
	Classes []classScore
	Rows    [][]cell // by [true class][predicted class]; nil for more than maxMatrix classes
}

type classScore struct {
	Name              string
	Images            int
	Recall, Precision string
	Mistaken          string // the class it is most often taken for, with the count; or a dash
}

// cell is one number of the matrix. Shade grows with the square root of the cell's share of its
// row, so that rare mistakes still stand out from zero.
type cell struct {
	Count int
	Shade string // opacity from 0 to 1
	Kind  string // hit, miss or none
	Note  string // in words
}

func newConfusion(e Evaluation) confusion {
	columns := make([]int, len(e.Classes))
	for _, row := range e.Confusion {
		for j, n := range row {
			columns[j] += n
		}
	}
	var c confusion
	for i, row := range e.Confusion {
		images := 0
		for _, n := range row {
			images += n
		}
		c.Classes = append(c.Classes, classScore{
			Name: e.Classes[i], Images: images,
			Recall: share(row[i], images), Precision: share(row[i], columns[i]), Mistaken: mistaken(e.Classes, row, i),
		})
		if len(e.Classes) <= maxMatrix {
			c.Rows = append(c.Rows, cells(e.Classes, row, i, images))
		}
	}
	return c
}

func cells(classes []string, row []int, label, images int) []cell {
	cs := make([]cell, len(row))
	for j, n := range row {
		c := cell{Count: n, Kind: "none", Shade: "0"}
		switch {
		case n > 0 && j == label:
			c.Kind = "hit"
		case n > 0:
			c.Kind = "miss"
		}
		if n > 0 {
			c.Shade = fmt.Sprintf("%.2f", math.Sqrt(float64(n)/float64(images)))
		}
		c.Note = fmt.Sprintf("%s predicted as %s: %d of %d (%s)", classes[label], classes[j], n, images, share(n, images))
		cs[j] = c
	}
	return cs
}

// share is n of total in percent, or a dash when there is nothing to share.
func share(n, total int) string {
	if total == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(total))
}

// mistaken names the wrong class that most images of a class were taken for.
func mistaken(classes []string, row []int, label int) string {
	most := -1
	for j, n := range row {
		if j != label && n > 0 && (most < 0 || n > row[most]) {
			most = j
		}
	}
	if most < 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%d)", classes[most], row[most])
}
