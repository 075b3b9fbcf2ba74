package train

import (
	"fmt"
	"maps"

	"senet/internal/checkpoint"
)

// save writes everything that the run needs to go on from here. model are the network's tensors, val the evaluation that
// closed an epoch, nil within one.
func (r *run) save(model Tensors, val *Score, best bool) (string, error) {
	momenta, err := r.net.Get(r.net.Program.Momenta)
	if err != nil {
		return "", err
	}
	sum := r.where.sum
	m := checkpoint.Manifest{
		Created: r.Now(), Model: r.Config.Model.Name, Config: r.text, Classes: r.Train.Classes(), Seed: r.Config.Train.Seed,
		Epoch: r.where.epoch, Batch: r.where.batch, GlobalStep: r.globalStep(),
		Sums:     checkpoint.Sums{Images: sum.images, Top1: sum.top1, Top5: sum.top5, Loss: sum.loss},
		BadSteps: r.result.BadSteps, Libraries: maps.Clone(r.Libraries),
	}
	if val != nil {
		score := checkpoint.Score(*val)
		m.Val = &score
	}
	if r.result.BestEpoch > 0 {
		m.Best = &checkpoint.Best{Epoch: r.result.BestEpoch, Score: checkpoint.Score(r.result.Best)}
	}
	return r.store.Save(checkpoint.State{Manifest: m, Model: model, Optimizer: momenta}, checkpoint.SaveAs{Best: best})
}

// restore puts the run where a checkpoint stands. Tensors that do not fit are all listed.
func (r *run) restore(s checkpoint.State) error {
	m := s.Manifest
	if m.Model != r.Config.Model.Name {
		return fmt.Errorf("it holds %s, the config says model.name: %s", m.Model, r.Config.Model.Name)
	}
	if m.Epoch*r.loader.Batches()+m.Batch != m.GlobalStep {
		return fmt.Errorf("it stands at step %d of epoch %d, which with %d steps an epoch is not step %d: the batch size or the data set has changed",
			m.Batch, m.Epoch+1, r.loader.Batches(), m.GlobalStep)
	}
	if err := r.net.Set(r.net.ModelValues(), s.Model); err != nil {
		return err
	}
	if err := r.net.Set(r.net.Program.Momenta, s.Optimizer); err != nil {
		return err
	}
	r.where = position{
		epoch: m.Epoch, batch: m.Batch,
		sum: meter{images: m.Sums.Images, top1: m.Sums.Top1, top5: m.Sums.Top5, loss: m.Sums.Loss},
	}
	r.result.BadSteps = m.BadSteps
	if m.Best != nil {
		r.result.Best, r.result.BestEpoch, r.result.Checkpoint = Score(m.Best.Score), m.Best.Epoch, r.bestPath()
	}
	return nil
}
