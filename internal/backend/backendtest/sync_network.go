package backendtest

import (
	"errors"
	"fmt"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/ref"
)

// syncNetworks compares ranks that normalise their images together with the oracle on the whole batch, running statistics included.
func syncNetworks(t *testing.T, net *network, bs []backend.Backend, o Options) {
	whole, err := newNetworkOf(len(bs))
	if err != nil {
		t.Fatal(err)
	}
	options := graph.TrainingOptions{Unfused: true, SGD: graph.SGDOptions{Momentum: 0.9, WeightDecay: 1e-3}, ClipNorm: 0.5}
	want, err := whole.synchronised(ref.New(), options, len(bs), 0)
	if err != nil {
		t.Fatal(err)
	}
	options.Ranks, options.SyncBN = len(bs), true
	for _, unfused := range []bool{false, true} {
		options.Unfused = unfused
		runs := make([][]snapshot, len(bs))
		report(t, "", together(len(bs), func(rank int) (err error) {
			runs[rank], err = net.synchronised(bs[rank], options, len(bs), rank)
			return err
		}))
		for rank, run := range runs {
			report(t, fmt.Sprintf("unfused %v, rank %d: ", unfused, rank), o.agree(run, want))
		}
	}
}

// synchronised trains on batches first, first + ranks, ..., or as many at once as the network takes.
func (net *network) synchronised(b backend.Backend, o graph.TrainingOptions, ranks, first int) (all []snapshot, err error) {
	r, err := net.launch(b, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(append(closing(r.exe), err)...) }()
	for update := range updates {
		loss, err := r.step(update*ranks+first, 0)
		if err != nil {
			return nil, err
		}
		if err := r.exe.Run(graph.Update); err != nil {
			return nil, err
		}
		if all, err = r.shoot(all, update, loss); err != nil {
			return nil, err
		}
		if all, err = shoot(all, fmt.Sprintf("update %d", update+1), r.exe, append(net.g.States(), r.p.GradNorm)); err != nil {
			return nil, err
		}
	}
	return all, nil
}
