package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// ErrBadRecord is wrapped by every error about a record that cannot be read.
var ErrBadRecord = errors.New("bad record")

// Metrics are the record of a run, of all its attempts together.
type Metrics struct {
	Run    Run      // of the last attempt
	Steps  []Step   // by GlobalStep; a gap or a late start means that rows were lost
	Epochs []Epoch  // by Epoch
	Finish *Summary // nil unless the last attempt reached its end
}

// ReadMetrics reads the file that a JSONL wrote. When a run was resumed, or started anew in the
// same file, rows past the point where it went on are superseded: only the last row of a step or
// epoch is kept. An incomplete last line, as a kill leaves it, is ignored; any other line
// that cannot be read is an error that names it.
func ReadMetrics(path string) (Metrics, error) {
	f, err := os.Open(path)
	if err != nil {
		return Metrics{}, fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	defer f.Close() //nolint:errcheck // only read from
	var m Metrics
	r := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return Metrics{}, fmt.Errorf("%w: read %s: %w", ErrBadRecord, path, err)
		}
		if last && !json.Valid(line) { // empty, or cut short
			return m, nil
		}
		if err := m.add(bytes.TrimSpace(line)); err != nil {
			return Metrics{}, fmt.Errorf("%w: %s:%d: %w", ErrBadRecord, path, n, err)
		}
		if last {
			return m, nil
		}
	}
}

// add applies one row.
func (m *Metrics) add(line []byte) error {
	var head struct {
		Event string `json:"event"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return err
	}
	if head.Event != "start" && m.Run.BatchesPerEpoch == 0 {
		return fmt.Errorf("event %q before the run's start", head.Event)
	}
	switch head.Event {
	case "start":
		return m.start(line)
	case "step":
		var row stepRow
		if err := json.Unmarshal(line, &row); err != nil {
			return err
		}
		m.cut(row.GlobalStep - 1)
		m.Steps = append(m.Steps, row.step())
	case "epoch":
		var row epochRow
		if err := json.Unmarshal(line, &row); err != nil {
			return err
		}
		m.Epochs = slices.DeleteFunc(m.Epochs, func(e Epoch) bool { return e.Epoch >= row.Epoch })
		m.Epochs = append(m.Epochs, row.epoch())
	case "finish":
		var row finishRow
		if err := json.Unmarshal(line, &row); err != nil {
			return err
		}
		s := row.summary()
		m.Finish = &s
	default:
		return fmt.Errorf("unknown event %q", head.Event)
	}
	return nil
}

func (m *Metrics) start(line []byte) error {
	var row startRow
	if err := json.Unmarshal(line, &row); err != nil {
		return err
	}
	if row.BatchesPerEpoch < 1 {
		return fmt.Errorf("batches_per_epoch is %d, want at least 1", row.BatchesPerEpoch)
	}
	m.Run, m.Finish = row.Run, nil
	m.cut(row.StartStep)
	return nil
}

// cut drops what happened after a global step.
func (m *Metrics) cut(step int) {
	for len(m.Steps) > 0 && m.Steps[len(m.Steps)-1].GlobalStep > step {
		m.Steps = m.Steps[:len(m.Steps)-1]
	}
	for len(m.Epochs) > 0 && m.Epochs[len(m.Epochs)-1].GlobalStep > step {
		m.Epochs = m.Epochs[:len(m.Epochs)-1]
	}
}
