package train

import (
	"errors"
	"fmt"
	"maps"

	"senet/internal/checkpoint"
	"senet/internal/config"
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

// restore puts the run where a checkpoint stands. Tensors that do not fit are all listed. The learning rate, the
// number of epochs and the like may have changed since; what gives a step its meaning may not.
func (r *run) restore(s checkpoint.State) error {
	m := s.Manifest
	if m.Model != r.Config.Model.Name {
		return fmt.Errorf("it holds %s, the config says model.name: %s", m.Model, r.Config.Model.Name)
	}
	saved, err := config.Parse("its config", []byte(m.Config), nil)
	if err != nil {
		return fmt.Errorf("%v", err) // not a config.ErrConfig: the user's own config is sound
	}
	if have, want := saved.Train.BatchSize, r.Config.Train.BatchSize; have != want {
		return fmt.Errorf("it was trained with train.batch_size %d, the config says %d", have, want)
	}
	if m.Epoch*r.loader.Batches()+m.Batch != m.GlobalStep {
		return fmt.Errorf("it stands at step %d of epoch %d, which with %d steps an epoch is not step %d: the number of training images has changed",
			m.Batch, m.Epoch+1, r.loader.Batches(), m.GlobalStep)
	}
	if err := errors.Join(r.net.Set(r.net.ModelValues(), s.Model), r.net.Set(r.net.Program.Momenta, s.Optimizer)); err != nil {
		return err
	}
	r.where = position{
		epoch: m.Epoch, batch: m.Batch,
		sum: meter{images: m.Sums.Images, top1: m.Sums.Top1, top5: m.Sums.Top5, loss: m.Sums.Loss},
	}
	r.result.BadSteps = m.BadSteps
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
