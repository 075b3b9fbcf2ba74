package train

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/config"
)

// begin opens the run's folder and starts from drawn weights or from the checkpoint to resume.
func (r *run) begin() error {
	layout := ""
	if f, ok := r.net.Executable.(backend.Fingerprinter); ok {
		layout = f.Fingerprint()
	}
	if err := r.agree(map[string]string{"layout of gradients in memory": layout}); err != nil {
		return err
	}
	found, err := r.findTogether()
	if err != nil {
		return err
	}
	if err := r.together(r.start(found)); err != nil || r.alone() {
		return err
	}
	ts, err := r.net.Get(r.net.Program.Persistent())
	if err != nil {
		return err
	}
	return r.sameTensors("parameters at the start", ts)
}

// start puts the run where found stands, or at its beginning.
func (r *run) start(found checkpoint.Found) (err error) {
	if found.Path != "" {
		if err := r.checkSame(found); err != nil {
			return err
		}
	}
	if r.first() {
		keep := checkpoint.Keep{Newest: r.Config.Output.KeepCheckpoints + 1, Every: r.Config.Output.KeepEvery}
		if r.store, err = checkpoint.Open(r.Config.Output.Dir, keep); err != nil {
			return err
		}
		if err := r.store.CheckSpace(r.stateBytes()); err != nil {
			return err
		}
	}
	if found.Path == "" {
		return r.net.Initialize(r.Config.Train.Seed)
	}
	if isWithin(r.Config.Output.Dir, found.Path) {
		r.saved = found.Path
	}
	if err := r.restore(found.State); err != nil {
		return fmt.Errorf("%w: resume %s: %w", checkpoint.ErrBad, found.Path, err)
	}
	r.Notef("resuming %s after %d epochs and %d steps", found.Path, r.where.epoch, r.where.batch)
	r.compareMachines(found.State.Manifest)
	return nil
}

// findTogether is find by the first rank, of whose checkpoint the others load the same.
func (r *run) findTogether() (found checkpoint.Found, err error) {
	if r.first() {
		found, err = r.find()
	}
	if err := r.together(err); err != nil || r.alone() {
		return found, err
	}
	path, err := r.tell(found.Path)
	if err != nil {
		return found, err
	}
	if !r.first() && path != "" {
		found.Path = path
		found.State, err = checkpoint.Load(path)
	}
	return found, r.together(err)
}

// find loads the checkpoint that Setup.Resume asks for. A folder that already holds a run is only gone on with
// when that was asked for: two runs' checkpoints in one folder would hide each other.
func (r *run) find() (checkpoint.Found, error) {
	dir := r.Config.Output.Dir
	switch r.Resume {
	case "":
		return checkpoint.Found{}, checkFree(dir)
	case ResumeAuto:
		found, err := checkpoint.Newest(dir)
		for _, skipped := range found.Skipped {
			r.Notef("skipped a damaged checkpoint: %v", skipped)
		}
		return found, err
	}
	state, err := checkpoint.Load(r.Resume)
	if err == nil && !isWithin(dir, r.Resume) {
		err = checkFree(dir)
	}
	return checkpoint.Found{Path: r.Resume, State: state}, err
}

// checkFree fails if dir holds a run, even one of damaged checkpoints only.
func checkFree(dir string) error {
	found, err := checkpoint.Newest(dir)
	if found.Path != "" || errors.Is(err, checkpoint.ErrBad) {
		return fmt.Errorf("%w: output.dir %s already holds a run: go on with it (--resume auto) or choose another folder", ErrTaken, dir)
	}
	return err
}

// isWithin reports whether the checkpoint at path, which may be a symlink, lies in dir.
func isWithin(dir, path string) bool {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	home, err := os.Stat(filepath.Join(path, ".."))
	if err != nil {
		return false
	}
	info, err := os.Stat(dir)
	return err == nil && os.SameFile(home, info)
}

// checkSame refuses a checkpoint whose run would not go on as it was begun, and lists what has changed. With
// Setup.ForceConfig it lists that and lets it pass.
func (r *run) checkSame(found checkpoint.Found) error {
	m := found.State.Manifest
	was, err := config.Parse("its config", []byte(m.Config), nil)
	if err != nil { // not a config.ErrConfig: the user's own config is sound
		return fmt.Errorf("%w: resume %s: %v", checkpoint.ErrBad, found.Path, err)
	}
	var changes []string
	for _, d := range r.Config.Changed(was) {
		changes = append(changes, d.String())
	}
	if classes := r.Train.Classes(); !slices.Equal(m.Classes, classes) {
		changes = append(changes, fmt.Sprintf("classes of the training images: were %s, are %s", brief(m.Classes), brief(classes)))
	}
	if len(changes) == 0 {
		return nil
	}
	list := strings.Join(changes, "\n")
	if !r.ForceConfig {
		return fmt.Errorf("%w: %s was saved by a run that differs in\n%s\n"+
			"give back these values, choose another output.dir, or go on all the same with --force-config", ErrChanged, found.Path, list)
	}
	if have, want := was.Train.BatchSize, r.Config.Train.BatchSize; have != want && m.Batch > 0 {
		return fmt.Errorf("%w: resume %s: it stands within an epoch of train.batch_size %d, which %d cannot end: resume from the end of an epoch",
			checkpoint.ErrBad, found.Path, have, want)
	}
	r.Notef("resuming a run that was begun otherwise:\n%s", list)
	return nil
}

// brief is a list of classes, cut after a few.
func brief(classes []string) string {
	const most = 5
	if len(classes) <= most {
		return fmt.Sprintf("%d, %q", len(classes), classes)
	}
	return fmt.Sprintf("%d, beginning with %q", len(classes), classes[:most])
}

// compareMachines tells the user if the run goes on where its last bits may come out differently.
func (r *run) compareMachines(m checkpoint.Manifest) {
	if device := r.Backend.Describe(); m.Device != device || !maps.Equal(m.Libraries, r.Libraries) {
		r.Notef("it was saved on %s with %v and goes on on %s with %v: its numbers may differ in the last bits",
			m.Device, m.Libraries, device, r.Libraries)
	}
}

// stateBytes is how many bytes of tensors a checkpoint of the run has.
func (r *run) stateBytes() int64 {
	n := int64(0)
	for _, v := range r.net.Program.Persistent() {
		n += v.Bytes()
	}
	return n
}
