// Package checkpoint saves and loads the state of a training run: safetensors files that
// Python reads too, and a manifest that says where the run stands and holds the checksums.
// A run's folder has one folder for each checkpoint, epoch-0003 or, saved within an epoch,
// step-00001234, and the symlinks best and last. A checkpoint appears under its name only once
// it is durable and has been read back, so a crash at any moment leaves the ones before it valid.
// One process at a time may write to a run's folder.
//
//	store, err := checkpoint.Open("runs/x", checkpoint.Keep{Newest: 3})
//	path, err := store.Save(checkpoint.State{Manifest: m, Model: params, Optimizer: momenta}, checkpoint.SaveAs{Best: true})
//	found, err := checkpoint.Newest("runs/x")
package checkpoint

import (
	"errors"

	"gorgonia.org/tensor"
)

// ErrBad is wrapped by every error about a checkpoint that is unreadable, damaged or unfitting.
var ErrBad = errors.New("bad checkpoint")

// ErrNoSpace is wrapped by the error about a disk that has no room for checkpoints.
var ErrNoSpace = errors.New("no space for checkpoints")

// State is what a checkpoint holds: float32 tensors by name.
type State struct {
	Manifest Manifest
	Model    map[string]*tensor.Dense // parameters and running statistics under their state-dict names
	// Optimizer is what training needs beside: momenta, named "<param>.momentum", and the like. Where Model holds moving averages
	// the parameters and statistics that are trained on are here, under the same names.
	Optimizer map[string]*tensor.Dense
}

// The names within a checkpoint's folder.
const (
	modelFile     = "model.safetensors"
	optimizerFile = "optimizer.safetensors"
	manifestFile  = "manifest.json"
)

// part is one safetensors file of a checkpoint.
type part struct {
	file    string
	tensors *map[string]*tensor.Dense
}

// parts lists what a checkpoint stores of s beside the manifest.
func (s *State) parts() []part {
	return []part{{modelFile, &s.Model}, {optimizerFile, &s.Optimizer}}
}
