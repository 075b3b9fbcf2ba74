package checkpoint

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSaveLaysOutTheRunsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs", "x") // Open makes it
	store := mustOpen(t, disk{}, dir, Keep{Newest: 3})
	if found, err := Newest(dir); err != nil || found.Path != "" || found.Skipped != nil {
		t.Fatalf("an empty folder has %+v, %v", found, err)
	}
	first := mustSave(t, store, 1, SaveAs{Best: true})
	mustSave(t, store, 2, SaveAs{})
	third := mustSave(t, store, 3, SaveAs{})
	if want := []string{"best", "epoch-0001", "epoch-0002", "last", "step-00000003"}; !slices.Equal(names(t, dir), want) {
		t.Errorf("folder has %q, want %q", names(t, dir), want)
	}
	if want := []string{"manifest.json", "model.safetensors", "optimizer.safetensors"}; !slices.Equal(names(t, third), want) {
		t.Errorf("checkpoint has %q, want %q", names(t, third), want)
	}
	if readlink(t, dir, "best") != "epoch-0001" || readlink(t, dir, "last") != "step-00000003" {
		t.Errorf("best is %s, last is %s", readlink(t, dir, "best"), readlink(t, dir, "last"))
	}
	for path, step := range map[string]int{first: 1, third: 3, filepath.Join(dir, "best"): 1, filepath.Join(dir, "last"): 3} {
		s, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := differs(s, stateAt(step)); d != "" {
			t.Errorf("%s: %s", path, d)
		}
		if s.Manifest.Format != 1 || s.Manifest.Serial != step || s.Manifest.IsBest != (step == 1) {
			t.Errorf("%s: format %d, serial %d, best %v", path, s.Manifest.Format, s.Manifest.Serial, s.Manifest.IsBest)
		}
	}
}

func TestSaveLeavesTheCallersStateAlone(t *testing.T) {
	s := stateAt(1)
	s.Manifest.Files = map[string]File{"mine": {Size: 1}}
	if _, err := mustOpen(t, disk{}, t.TempDir(), Keep{Newest: 1}).Save(s, SaveAs{Best: true}); err != nil {
		t.Fatal(err)
	}
	if len(s.Manifest.Files) != 1 || s.Manifest.Format != 0 {
		t.Errorf("manifest became %+v", s.Manifest)
	}
}

func TestLoadModelTakesAFolderALinkOrABareFile(t *testing.T) {
	dir := t.TempDir()
	path := mustSave(t, mustOpen(t, disk{}, dir, Keep{Newest: 1}), 1, SaveAs{Best: true})
	// The optimiser is not needed to evaluate.
	if err := os.Remove(filepath.Join(path, optimizerFile)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + "/", filepath.Join(dir, "best"), filepath.Join(dir, "best", modelFile)} {
		ts, m, err := LoadModel(p)
		if err != nil {
			t.Fatal(err)
		}
		if d := differs(State{Model: ts}, State{Model: stateAt(1).Model}); d != "" {
			t.Errorf("%s: %s", p, d)
		}
		if bare := strings.HasSuffix(p, modelFile); bare != (m == nil) || !bare && m.Config != stateAt(1).Manifest.Config {
			t.Errorf("%s: manifest %+v", p, m)
		}
	}
	_, err := Load(path)
	mention(t, err, optimizerFile)
	if !errors.Is(err, ErrBad) {
		t.Errorf("%v is no ErrBad", err)
	}
}

func TestPathsThatHoldNoCheckpointAreRefused(t *testing.T) {
	dir := t.TempDir()
	mustSave(t, mustOpen(t, disk{}, dir, Keep{Newest: 1}), 1, SaveAs{})
	for path, says := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        filepath.Join(dir, "last"),
		t.TempDir():                manifestFile,
		os.DevNull:                 "regular",
	} {
		_, _, err := LoadModel(path)
		mention(t, err, path, says)
		if !errors.Is(err, ErrBad) {
			t.Errorf("%v is no ErrBad", err)
		}
	}
	if found, err := Newest(filepath.Join(dir, "none")); err != nil || found.Path != "" {
		t.Errorf("a missing folder has %+v, %v", found, err)
	}
	if _, err := Open(dir, Keep{Newest: 0}); err == nil {
		t.Error("a store that keeps nothing opened")
	}
}

func TestSavingAPositionAgainKeepsTheOneThatIsThere(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, disk{}, dir, Keep{Newest: 9})
	first := mustSave(t, store, 2, SaveAs{Best: true})
	s := stateAt(2)
	s.Model["bn1.weight"] = dense(77, 4)
	second, err := store.Save(s, SaveAs{})
	if err != nil {
		t.Fatal(err)
	}
	third := mustSave(t, mustOpen(t, disk{}, dir, Keep{Newest: 9}), 2, SaveAs{})
	if first != filepath.Join(dir, "epoch-0002") || second != first+".2" || third != first+".3" {
		t.Errorf("saved %s, %s, %s", first, second, third)
	}
	if got, err := Load(first); err != nil || differs(got, stateAt(2)) != "" {
		t.Errorf("the first became %v, %v", got, err)
	}
	if got, err := Load(second); err != nil || differs(got, s) != "" {
		t.Errorf("the second is %v, %v", got, err)
	}
	if found, err := Newest(dir); err != nil || found.Path != third {
		t.Errorf("newest is %s, %v", found.Path, err)
	}
	if readlink(t, dir, "best") != "epoch-0002" || readlink(t, dir, "last") != "epoch-0002.3" {
		t.Errorf("best is %s, last is %s", readlink(t, dir, "best"), readlink(t, dir, "last"))
	}
}

func TestNewestIsTheLastSavedNotTheFurthest(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, disk{}, dir, Keep{Newest: 9})
	mustSave(t, store, 9, SaveAs{})
	again := mustSave(t, store, 5, SaveAs{}) // resumed from an earlier one
	// Neither of these is a checkpoint.
	writeFile(t, filepath.Join(dir, "epoch-0099"), nil)
	if err := os.Symlink("epoch-0099", filepath.Join(dir, "epoch-0100")); err != nil {
		t.Fatal(err)
	}
	if found, err := Newest(dir); err != nil || found.Path != again || len(found.Skipped) > 0 {
		t.Errorf("newest is %s, %v, skipped %v", found.Path, err, found.Skipped)
	}
}

func TestNewestFallsBackPastDamage(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, disk{}, dir, Keep{Newest: 9})
	var paths []string
	for step := range 4 {
		paths = append(paths, mustSave(t, store, step*4, SaveAs{}))
	}
	flip(t, filepath.Join(paths[3], modelFile), -1, 0)
	if err := os.Truncate(filepath.Join(paths[2], manifestFile), 20); err != nil {
		t.Fatal(err)
	}
	found, err := Newest(dir)
	if err != nil || found.Path != paths[1] || differs(found.State, stateAt(4)) != "" {
		t.Fatalf("newest is %s, %v", found.Path, err)
	}
	if len(found.Skipped) != 2 {
		t.Fatalf("skipped %v", found.Skipped)
	}
	mention(t, errors.Join(found.Skipped...), paths[2], paths[3], manifestFile, modelFile, `"fc.weight"`)

	for _, p := range paths[:2] {
		flip(t, filepath.Join(p, optimizerFile), -1, 0)
	}
	found, err = Newest(dir)
	mention(t, err, paths...)
	if !errors.Is(err, ErrBad) || found.Path != "" {
		t.Errorf("all damaged gave %s, %v", found.Path, err)
	}
	// Nothing that is damaged is deleted, and saving goes on.
	path := mustSave(t, mustOpen(t, disk{}, dir, Keep{Newest: 9}), 20, SaveAs{})
	if found, err := Newest(dir); err != nil || found.Path != path {
		t.Errorf("newest is %s, %v", found.Path, err)
	}
	if _, err := os.Stat(paths[2]); err != nil {
		t.Error(err)
	}
}

func TestOpenFinishesWhatAKillCutShort(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, disk{}, dir, Keep{Newest: 2})
	mustSave(t, store, 1, SaveAs{Best: true})
	mustSave(t, store, 2, SaveAs{Best: true})
	// As if killed between the rename of the checkpoint and the links, with strays of every kind.
	for link, target := range map[string]string{"best": "epoch-0001", "last": "epoch-0001", tempPrefix + "last": "epoch-0002"} {
		if err := os.RemoveAll(filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, stray := range []string{tempPrefix + "epoch-0003", tempPrefix + "old-epoch-0000"} {
		if err := os.CopyFS(filepath.Join(dir, stray), os.DirFS(filepath.Join(dir, "epoch-0001"))); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(dir, "metrics.jsonl"), nil)
	mustOpen(t, disk{}, dir, Keep{Newest: 1})
	if want := []string{"best", "epoch-0001", "epoch-0002", "last", "metrics.jsonl"}; !slices.Equal(names(t, dir), want) {
		t.Errorf("folder has %q, want %q", names(t, dir), want)
	}
	if readlink(t, dir, "best") != "epoch-0002" || readlink(t, dir, "last") != "epoch-0002" {
		t.Errorf("best is %s, last is %s", readlink(t, dir, "best"), readlink(t, dir, "last"))
	}
}

func TestACheckpointThatBestPointsToByHandIsKept(t *testing.T) {
	dir := t.TempDir()
	store := mustOpen(t, disk{}, dir, Keep{Newest: 1})
	mustSave(t, store, 1, SaveAs{})
	if err := os.Symlink("./epoch-0001/", filepath.Join(dir, "best")); err != nil {
		t.Fatal(err)
	}
	mustSave(t, store, 2, SaveAs{})
	mustSave(t, store, 4, SaveAs{})
	if want := []string{"best", "epoch-0001", "epoch-0004", "last"}; !slices.Equal(names(t, dir), want) {
		t.Errorf("folder has %q, want %q", names(t, dir), want)
	}
}

// TestRetentionKeepsTheNewestTheBestAndEveryKth saves at random positions, each run resumed at times, and
// compares the folder with a model of it after every save.
func TestRetentionKeepsTheNewestTheBestAndEveryKth(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 12 {
		dir, keep := t.TempDir(), Keep{Newest: 1 + rng.IntN(4), Every: rng.IntN(5)}
		fsys := &faulty{fail: never} // does not wait for the disk
		store := mustOpen(t, fsys, dir, keep)
		type saved struct {
			path string
			step int
		}
		var all []saved
		best, step := -1, 0
		for range 15 {
			step++
			switch rng.IntN(5) {
			case 0:
				step = max(0, step-3)
			case 1:
				store = mustOpen(t, fsys, dir, keep)
			}
			as := SaveAs{Best: rng.IntN(4) == 0}
			all = append(all, saved{mustSave(t, store, step, as), step})
			if as.Best {
				best = len(all) - 1
			}
			want := []string{filepath.Join(dir, lastLink)}
			stays := func(i int) bool {
				closes := all[i].step%4 != 3 // an epoch: see stateAt
				return i >= len(all)-keep.Newest || i == best || keep.Every > 0 && closes && all[i].step > 0 && all[i].step%keep.Every == 0
			}
			for i, s := range all {
				if stays(i) {
					want = append(want, s.path)
				}
			}
			if best >= 0 {
				want = append(want, filepath.Join(dir, bestLink))
				if got := readlink(t, dir, bestLink); got != filepath.Base(all[best].path) {
					t.Fatalf("round %d: best is %s, want %s", round, got, all[best].path)
				}
			}
			if got := readlink(t, dir, lastLink); got != filepath.Base(all[len(all)-1].path) {
				t.Fatalf("round %d: last is %s", round, got)
			}
			slices.Sort(want)
			for i := range want {
				want[i] = filepath.Base(want[i])
			}
			if got := names(t, dir); !slices.Equal(got, want) {
				t.Fatalf("round %d, keep %+v: folder has %q, want %q", round, keep, got, want)
			}
			for i, s := range all {
				if !stays(i) {
					continue
				}
				if got, err := Load(s.path); err != nil || differs(got, stateAt(s.step)) != "" {
					t.Fatalf("round %d: %s: %v", round, s.path, err)
				}
			}
		}
	}
}

// roomy is a disk with so many free bytes.
type roomy struct {
	disk
	free int64
	err  error
}

func (d roomy) Free(string) (int64, error) { return d.free, d.err }

func TestDiskWithoutRoomForTwoCheckpointsIsRefusedInNumbers(t *testing.T) {
	const size = 225 << 20
	check := func(free int64, err error) error {
		return mustOpen(t, roomy{free: free, err: err}, t.TempDir(), Keep{Newest: 1}).CheckSpace(size)
	}
	if err := check(2*size, nil); err != nil {
		t.Errorf("twice the size is not enough: %v", err)
	}
	err := check(2*size-1<<20, nil)
	mention(t, err, "449.0 MiB are free", "want 450.0 MiB", "225.0 MiB")
	if !errors.Is(err, ErrNoSpace) {
		t.Errorf("%v is no ErrNoSpace", err)
	}
	if err := check(0, errors.New("broken")); err == nil || errors.Is(err, ErrNoSpace) {
		t.Errorf("error %v, want the disk's own", err)
	}
	dir := t.TempDir()
	if free, err := (disk{}).Free(dir); err != nil || free < 1<<20 {
		t.Errorf("%d bytes are free in %s, %v", free, dir, err)
	}
	if _, err := (disk{}).Free(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there has free space")
	}
}

func TestSaveWaitsForTheDiskAtEveryStep(t *testing.T) {
	dir := t.TempDir()
	fsys := &faulty{fail: never}
	store := mustOpen(t, fsys, dir, Keep{Newest: 1})
	mustSave(t, store, 1, SaveAs{})
	fsys.trace = nil
	mustSave(t, store, 2, SaveAs{Best: true})
	var order []string
	for _, call := range fsys.trace {
		call = strings.ReplaceAll(call, dir, "run")
		verb, _, _ := strings.Cut(call, " ")
		if slices.Contains([]string{"write", "sync", "close", "syncdir", "rename", "symlink"}, verb) {
			order = append(order, call)
		}
	}
	var want []string
	for _, name := range []string{modelFile, optimizerFile, manifestFile} {
		for _, verb := range []string{"write", "sync", "close"} {
			want = append(want, verb+" run/.tmp-epoch-0002/"+name)
		}
	}
	want = append(want,
		"syncdir run/.tmp-epoch-0002", "rename run/.tmp-epoch-0002 run/epoch-0002", "syncdir run",
		"symlink epoch-0002 run/.tmp-last", "rename run/.tmp-last run/last",
		"symlink epoch-0002 run/.tmp-best", "rename run/.tmp-best run/best", "syncdir run",
		"rename run/epoch-0001 run/.tmp-old-epoch-0001")
	if !slices.Equal(order, want) {
		t.Errorf("calls were\n%s\nwant\n%s", strings.Join(order, "\n"), strings.Join(want, "\n"))
	}
}
