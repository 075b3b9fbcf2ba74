package train

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"gorgonia.org/tensor"

	"senet/internal/checkpoint"
)

// save makes the first rank write everything that the run needs to go on from here. model are the network's tensors, val the
// evaluation that closed an epoch, nil within one.
func (r *run) save(model Tensors, val *Score, best bool) error {
	sum, err := r.total(r.where.sum)
	if err != nil {
		return err
	}
	path := "by rank 0"
	if r.first() {
		path, err = r.write(model, sum, val, best)
	}
	if err := r.together(err); err != nil {
		return err
	}
	r.saved = path
	return nil
}

func (r *run) write(model Tensors, sum meter, val *Score, best bool) (string, error) {
	optimizer, err := r.net.State()
	if err != nil {
		return "", err
	}
	m := checkpoint.Manifest{
		Created: r.Now(), Model: r.Config.Model.Name, Config: r.text, Classes: r.Train.Classes(), Seed: r.Config.Train.Seed,
		Epoch: r.where.epoch, Batch: r.where.batch, GlobalStep: r.globalStep(),
		Sums:     checkpoint.Sums{Images: sum.images, Top1: sum.top1, Top5: sum.top5, Loss: sum.loss},
		BadSteps: r.result.BadSteps, BadInARow: r.bad, LossScale: r.scale.saved(),
		Device: r.Backend.Describe(), Libraries: maps.Clone(r.Libraries),
	}
	if val != nil {
		score := checkpoint.Score(*val)
		m.Val = &score
	}
	if r.result.BestEpoch > 0 {
		m.Best = &checkpoint.Best{Epoch: r.result.BestEpoch, Score: checkpoint.Score(r.result.Best)}
	}
	return r.store.Save(checkpoint.State{Manifest: m, Model: model, Optimizer: optimizer}, checkpoint.SaveAs{Best: best})
}

// restore puts the run where a checkpoint stands. Tensors that do not fit are all listed.
func (r *run) restore(s checkpoint.State) error {
	m := s.Manifest
	if m.Model != r.Config.Model.Name {
		return fmt.Errorf("it holds %s, the config says model.name: %s", m.Model, r.Config.Model.Name)
	}
	between := m.Batch == 0 && r.ForceConfig // between two epochs their length may change
	if m.Epoch*r.batches()+m.Batch != m.GlobalStep && !between {
		return fmt.Errorf("it stands at step %d of epoch %d, which with %d steps an epoch is not step %d: the number of training images has changed",
			m.Batch, m.Epoch+1, r.batches(), m.GlobalStep)
	}
	r.where = position{epoch: m.Epoch, batch: m.Batch}
	states := r.sums(s.Optimizer)
	if err := errors.Join(r.net.SetModel(s.Model), r.net.Set(r.net.stateValues(), states)); err != nil {
		return err
	}
	if r.first() {
		r.where.sum = meter{images: m.Sums.Images, top1: m.Sums.Top1, top5: m.Sums.Top5, loss: m.Sums.Loss}
	}
	r.result.BadSteps, r.bad = m.BadSteps, m.BadInARow
	if r.scale != nil && m.LossScale != nil { // the precision may have changed
		*r.scale = lossScale{m.LossScale.Factor, m.LossScale.GoodSteps}
	}
	if m.Best != nil && r.holdsBest(*m.Best) {
		r.result.Best, r.result.BestEpoch, r.result.Checkpoint = Score(m.Best.Score), m.Best.Epoch, r.bestPath()
	}
	return nil
}

// sums makes the sums of gradients among a checkpoint's states those of this run, which on another number of ranks may be none
// or more. Several ranks stand between updates: within one, they go back to its start.
func (r *run) sums(states Tensors) Tensors {
	back := 0
	if !r.alone() {
		back = r.where.batch % window(r.Config.Train, r.where.epoch)
		if r.where.batch > r.epochEnd() { // all of what a single process made its last update of is left out
			r.where.batch, back = r.epochEnd(), 0
		}
	}
	if back > 0 {
		r.where.batch -= back
		r.saved = ""
		r.Notef("the checkpoint stands within an update, which %d ranks begin anew: %d steps are done again", r.ranks, back)
	}
	have := maps.Clone(states)
	maps.DeleteFunc(have, func(name string, _ *tensor.Dense) bool {
		return back > 0 && isSum(name) || isSum(name) && r.accumulate == 1
	})
	if r.accumulate == 1 {
		return have
	}
	for _, v := range r.net.Program.OptimizerStates {
		if isSum(v.Name) && have[v.Name] == nil {
			have[v.Name] = tensor.New(tensor.WithShape(v.Shape...), tensor.Of(tensor.Float32))
		}
	}
	return have
}

// isSum reports whether a state holds what lives only within an update.
func isSum(name string) bool {
	return name == "optimizer.accumulated" || strings.HasSuffix(name, ".grad_sum")
}

// holdsBest reports whether the folder's best link leads to b. It does not where the run goes on from a checkpoint of
// another folder, or from one older than the folder's best: then the best is found anew.
func (r *run) holdsBest(b checkpoint.Best) bool {
	_, m, err := checkpoint.LoadModel(r.bestPath())
	return err == nil && m != nil && m.Epoch == b.Epoch && m.Val != nil && *m.Val == b.Score
}
