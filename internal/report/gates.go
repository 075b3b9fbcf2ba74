package report

// A gate is saturated where it is above highGate or below lowGate: there the sigmoid's gradient nearly vanishes.
const highGate, lowGate = 0.95, 0.05

// Gates are the gates of the last SE block of a stage for the first batch of an evaluation.
type Gates struct {
	Stage     int // from 1
	Mean      float64
	High, Low float64   // shares above 0.95 and below 0.05, in percent
	Values    []float32 // (images, channels), row by row; nil in a record that was read back
}

// NewGates sums up the gates (images, channels) of a stage.
func NewGates(stage int, values []float32) Gates {
	g := Gates{Stage: stage, Values: values}
	high, low := 0, 0
	for _, v := range values {
		g.Mean += float64(v)
		if v > highGate {
			high++
		}
		if v < lowGate {
			low++
		}
	}
	n := float64(len(values))
	g.Mean, g.High, g.Low = g.Mean/n, 100*float64(high)/n, 100*float64(low)/n
	return g
}

// gatesRow is Gates as JSON.
type gatesRow struct {
	Stage int    `json:"stage"`
	Mean  number `json:"mean"`
	High  number `json:"high"`
	Low   number `json:"low"`
}

func newGatesRows(gs []Gates) []gatesRow {
	var rows []gatesRow
	for _, g := range gs {
		rows = append(rows, gatesRow{g.Stage, number(g.Mean), number(g.High), number(g.Low)})
	}
	return rows
}

func gatesOf(rows []gatesRow) []Gates {
	var gs []Gates
	for _, r := range rows {
		gs = append(gs, Gates{Stage: r.Stage, Mean: float64(r.Mean), High: float64(r.High), Low: float64(r.Low)})
	}
	return gs
}
