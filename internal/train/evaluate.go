package train

import (
	"errors"
	"fmt"
	"io"

	"senet/internal/backend"
	"senet/internal/data"
	"senet/internal/graph"
	"senet/internal/model"
	"senet/internal/report"
)

// Score is the outcome of an evaluation; accuracies are in percent.
type Score struct {
	Images     int
	Loss       float64 // mean over images, without label smoothing
	Top1, Top5 float64
}

// Evaluator runs a network with folded batch norm over a data set.
type Evaluator struct {
	net   *Compiled
	gates []model.StageGate
}

// NewEvaluator compiles the inference program of net on b.
func NewEvaluator(b backend.Backend, net *model.Network) (*Evaluator, error) {
	p, err := inference(net)
	if err != nil {
		return nil, err
	}
	c, err := Open(b, p)
	if err != nil {
		return nil, err
	}
	return &Evaluator{net: c, gates: net.Gates}, nil
}

// inference is the program of an evaluation.
func inference(net *model.Network) (*graph.Program, error) {
	var o graph.InferenceOptions
	for _, g := range net.Gates {
		o.Keep = append(o.Keep, g.Value)
	}
	return graph.Inference(net.Graph, net.Ends, o)
}

// Close frees the evaluator's memory.
func (e *Evaluator) Close() error { return e.net.Close() }

// Memory tells where the bytes went.
func (e *Evaluator) Memory() graph.Memory { return e.net.Memory() }

// Load takes over a model's tensors and folds batch norm. Tensors that do not fit are all listed.
func (e *Evaluator) Load(ts Tensors) error {
	if err := e.net.Set(e.net.ModelValues(), ts); err != nil {
		return err
	}
	return e.net.Run(graph.Prepare)
}

// Logits runs one batch and returns its logits, (Size, K) row by row.
func (e *Evaluator) Logits(b *data.Batch) ([][]float32, error) {
	if err := e.step(b); err != nil {
		return nil, err
	}
	t, err := e.net.Read(e.net.Program.Logits)
	if err != nil {
		return nil, err
	}
	flat, k := t.Data().([]float32), t.Shape()[1]
	rows := make([][]float32, b.Size)
	for i := range rows {
		rows[i] = flat[i*k : (i+1)*k]
	}
	return rows, nil
}

// Gates are those of the last SE block of each stage for the first images of the batch that was run last.
func (e *Evaluator) Gates(images int) ([]report.Gates, error) {
	var all []report.Gates
	for _, g := range e.gates {
		t, err := e.net.Read(g.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, report.NewGates(g.Stage, t.Data().([]float32)[:images*g.Value.Shape[1]]))
	}
	return all, nil
}

func (e *Evaluator) step(b *data.Batch) error {
	if err := e.net.feed(b); err != nil {
		return err
	}
	return e.net.Run(graph.Step)
}

// Evaluate runs every batch of it. each, if not nil, sees every batch with its logits.
func (e *Evaluator) Evaluate(it *data.Iterator, each func(b *data.Batch, logits [][]float32) error) (Score, error) {
	steps, err := e.steps(it, each)
	if err != nil {
		return Score{}, err
	}
	var sum meter
	for _, x := range steps {
		sum.count(x)
	}
	return sum.score(), nil
}

// steps is Evaluate's score of every batch.
func (e *Evaluator) steps(it *data.Iterator, each func(b *data.Batch, logits [][]float32) error) ([]stepScore, error) {
	var steps []stepScore
	for {
		b, err := it.Next()
		if errors.Is(err, io.EOF) {
			return steps, nil
		}
		if err != nil {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		logits, err := e.Logits(b)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		x, err := e.net.score()
		if err != nil {
			return nil, fmt.Errorf("evaluate: %w", err)
		}
		if b.Size == 0 { // of a rank that has no images left; the loss of none says nothing
			x = stepScore{}
		}
		steps = append(steps, x)
		if each != nil {
			if err := each(b, logits); err != nil {
				return nil, err
			}
		}
		it.Recycle(b)
	}
}

// meter sums loss and hits over steps.
type meter struct {
	images, top1, top5 int
	loss               float64 // sum over images
}

// stepScore is one step's share.
type stepScore struct {
	images, top1, top5 int
	loss               float64 // mean over the step's images
}

// score reads the loss and hits of the step that c just ran.
func (c *Compiled) score() (stepScore, error) {
	var x stepScore
	var err error
	if x.loss, err = c.scalar(c.Program.Loss); err != nil {
		return x, err
	}
	x.images, x.top1, x.top5, err = c.counts()
	return x, err
}

// count adds a step.
func (m *meter) count(x stepScore) {
	m.images += x.images
	m.top1 += x.top1
	m.top5 += x.top5
	m.loss += x.loss * float64(x.images)
}

// score is the mean over all images; of none, as after an epoch of skipped steps, it is NaN.
func (m *meter) score() Score {
	n := float64(m.images)
	return Score{Images: m.images, Loss: m.loss / n, Top1: 100 * float64(m.top1) / n, Top5: 100 * float64(m.top5) / n}
}
