package train

import (
	"errors"
	"fmt"
	"maps"

	"senet/internal/checkpoint"
)

// save writes everything that the run needs to go on from here. model are the network's tensors, val the evaluation that
// closed an epoch, nil within one.
func (r *run) save(model Tensors, val *Score, best bool) (string, error) {
	optimizer, err := r.net.State()
	if err != nil {
		return "", err
	}
	sum := r.where.sum
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
	path, err := r.store.Save(checkpoint.State{Manifest: m, Model: model, Optimizer: optimizer}, checkpoint.SaveAs{Best: best})
	if err == nil {
		r.saved = path
	}
	return path, err
}

// restore puts the run where a checkpoint stands. Tensors that do not fit are all listed.
func (r *run) restore(s checkpoint.State) error {
	m := s.Manifest
	if m.Model != r.Config.Model.Name {
		return fmt.Errorf("it holds %s, the config says model.name: %s", m.Model, r.Config.Model.Name)
	}
	between := m.Batch == 0 && r.ForceConfig // between two epochs their length may change
	if m.Epoch*r.loader.Batches()+m.Batch != m.GlobalStep && !between {
		return fmt.Errorf("it stands at step %d of epoch %d, which with %d steps an epoch is not step %d: the number of training images has changed",
			m.Batch, m.Epoch+1, r.loader.Batches(), m.GlobalStep)
	}
	if err := errors.Join(r.net.SetModel(s.Model), r.net.Set(r.net.stateValues(), s.Optimizer)); err != nil {
		return err
	}
	r.where = position{
		epoch: m.Epoch, batch: m.Batch,
		sum: meter{images: m.Sums.Images, top1: m.Sums.Top1, top5: m.Sums.Top5, loss: m.Sums.Loss},
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

// holdsBest reports whether the folder's best link leads to b. It does not where the run goes on from a checkpoint of
// another folder, or from one older than the folder's best: then the best is found anew.
func (r *run) holdsBest(b checkpoint.Best) bool {
	_, m, err := checkpoint.LoadModel(r.bestPath())
	return err == nil && m != nil && m.Epoch == b.Epoch && m.Val != nil && *m.Val == b.Score
}
