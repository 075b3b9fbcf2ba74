package report

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// table has a column for each run.
type table struct {
	Title, Note string
	Columns     []string
	Rows        []tableRow
}

type tableRow struct {
	Name  string
	Cells []string
}

func newTable(title, note string, runs []NamedRun) table {
	t := table{Title: title, Note: note}
	for _, r := range runs {
		t.Columns = append(t.Columns, r.Name)
	}
	return t
}

// add appends a row of what cell says of each run.
func (t *table) add(name string, runs []NamedRun, cell func(Metrics) string) {
	row := tableRow{Name: name}
	for _, r := range runs {
		row.Cells = append(row.Cells, cell(r.Metrics))
	}
	t.Rows = append(t.Rows, row)
}

// outcomeTable says what came of each run.
func outcomeTable(runs []NamedRun) table {
	t := newTable("Outcome", "Accuracies of the validation images; the best epoch is the one with the best top-1.", runs)
	best := func(f func(Epoch) string) func(Metrics) string {
		return func(m Metrics) string { return m.epoch(bestEpoch(m), f) }
	}
	last := func(f func(Epoch) string) func(Metrics) string {
		return func(m Metrics) string { return m.epoch(len(m.Epochs)-1, f) }
	}
	t.add("best top-1", runs, best(func(e Epoch) string { return fmt.Sprintf("%.2f %% in epoch %d", e.ValTop1, e.Epoch) }))
	t.add("top-5 there", runs, best(func(e Epoch) string { return fmt.Sprintf("%.2f %%", e.ValTop5) }))
	t.add("last top-1", runs, last(func(e Epoch) string { return fmt.Sprintf("%.2f %%", e.ValTop1) }))
	t.add("last loss", runs, last(func(e Epoch) string { return fmt.Sprintf("%.4f", e.ValLoss) }))
	t.add("last training loss", runs, last(func(e Epoch) string { return fmt.Sprintf("%.4f", e.TrainLoss) }))
	t.add("epochs done", runs, func(m Metrics) string { return fmt.Sprintf("%d of %d", len(m.Epochs), m.Run.Epochs) })
	t.add("steps done", runs, func(m Metrics) string { return Thousands(int64(len(m.Steps))) })
	t.add("skipped steps", runs, func(m Metrics) string { return fmt.Sprint(m.skipped()) })
	t.add("median speed", runs, medianSpeed)
	t.add("waiting for data", runs, func(m Metrics) string {
		total, waited := m.stepTime()
		if total == 0 {
			return none
		}
		return fmt.Sprintf("%.1f %%", 100*waited.Seconds()/total.Seconds())
	})
	t.add("time in steps", runs, func(m Metrics) string {
		total, _ := m.stepTime()
		return formatDuration(total)
	})
	t.add("peak memory", runs, func(m Metrics) string {
		if m.Finish == nil {
			return none
		}
		return FormatBytes(m.Finish.PeakBytes)
	})
	t.add("model", runs, func(m Metrics) string {
		return fmt.Sprintf("%s, %s parameters", m.Run.Model, Thousands(m.Run.Params))
	})
	t.add("machine", runs, func(m Metrics) string { return m.Run.Device })
	t.add("started", runs, func(m Metrics) string { return m.Run.Started.UTC().Format("2006-01-02 15:04 UTC") })
	return t
}

// none stands for a figure that there is not.
const none = "–"

// epoch is f of epoch i, or none where there is no such.
func (m Metrics) epoch(i int, f func(Epoch) string) string {
	if i < 0 || i >= len(m.Epochs) {
		return none
	}
	return f(m.Epochs[i])
}

// bestEpoch is the index of the first epoch with the greatest top-1; -1 if there is none.
func bestEpoch(m Metrics) int {
	best := -1
	for i, e := range m.Epochs {
		if finite(e.ValTop1) && (best < 0 || e.ValTop1 > m.Epochs[best].ValTop1) {
			best = i
		}
	}
	return best
}

// skipped counts the steps whose loss was not finite.
func (m Metrics) skipped() int {
	n := 0
	for _, s := range m.Steps {
		if !finite(s.Loss) {
			n++
		}
	}
	return n
}

// stepTime sums the time of the steps, and what of it was spent waiting for data.
func (m Metrics) stepTime() (total, waited time.Duration) {
	for _, s := range m.Steps {
		total += s.StepTime
		waited += s.DataWait
	}
	return total, waited
}

// medianSpeed is that of the steps.
func medianSpeed(m Metrics) string {
	if len(m.Steps) == 0 {
		return none
	}
	var xs []float64
	for _, s := range m.Steps {
		xs = append(xs, speed(s))
	}
	slices.Sort(xs)
	return fmt.Sprintf("%.0f img/s", xs[len(xs)/2])
}

// gatesTable has the gates after each run's last epoch, a row for each stage that has any.
func gatesTable(runs []NamedRun) table {
	t := newTable("SE gates after the last epoch", "Mean, and shares above 0.95 and below 0.05, in the last SE block of each stage for one batch of validation images.", runs)
	for _, stage := range stages(metricsOf(runs)...) {
		t.add(fmt.Sprintf("stage %d", stage), runs, func(m Metrics) string {
			return m.epoch(len(m.Epochs)-1, func(e Epoch) string {
				i := slices.IndexFunc(e.Gates, func(g Gates) bool { return g.Stage == stage })
				if i < 0 {
					return none
				}
				g := e.Gates[i]
				return fmt.Sprintf("%.3f; %.1f %% high, %.1f %% low", g.Mean, g.High, g.Low)
			})
		})
	}
	return t
}

// configTable has the keys whose values are not the same in all runs.
func configTable(runs []NamedRun) (table, error) {
	t := newTable("Where the configs differ", "All other keys are equal.", runs)
	var flats []map[string]string
	keys := map[string]bool{}
	for _, r := range runs {
		flat, err := flatten(r.Run.Config)
		if err != nil {
			return t, fmt.Errorf("config of %s: %w", r.Name, err)
		}
		flats = append(flats, flat)
		for k := range flat {
			keys[k] = true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		row := tableRow{Name: k}
		for _, flat := range flats {
			v, ok := flat[k]
			if !ok {
				v = none
			}
			row.Cells = append(row.Cells, v)
		}
		if slices.ContainsFunc(row.Cells, func(c string) bool { return c != row.Cells[0] }) {
			t.Rows = append(t.Rows, row)
		}
	}
	return t, nil
}

// flatten reads the keys and values of a config's YAML, a key's sections joined by dots.
func flatten(text string) (map[string]string, error) {
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		return nil, err
	}
	flat := map[string]string{}
	var walk func(section string, tree map[string]any)
	walk = func(section string, tree map[string]any) {
		for k, v := range tree {
			if sub, ok := v.(map[string]any); ok {
				walk(section+k+".", sub)
				continue
			}
			flat[section+k] = fmt.Sprint(v)
		}
	}
	walk("", tree)
	return flat, nil
}
