package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEveryFailingCallLeavesAValidCheckpoint makes one call after the other of a save go wrong.
func TestEveryFailingCallLeavesAValidCheckpoint(t *testing.T) {
	modes := []struct {
		name  string
		spoil func(call, write, k int) fault
	}{
		{"EIO once", func(call, _, k int) fault {
			if call == k {
				return fault{err: syscall.EIO}
			}
			return fault{}
		}},
		{"EIO once, yet carried out", func(call, _, k int) fault {
			if call == k {
				return fault{err: syscall.EIO, done: true}
			}
			return fault{}
		}},
		{"EIO from then on", func(call, _, k int) fault {
			if call >= k {
				return fault{err: syscall.EIO}
			}
			return fault{}
		}},
		{"disk full from then on", func(_, write, k int) fault {
			if write >= k {
				return fault{err: syscall.ENOSPC, half: true}
			}
			return fault{}
		}},
		{"half a write lost unnoticed", func(_, write, k int) fault { return fault{half: write == k} }},
	}
	for _, mode := range modes {
		for _, keep := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, keep %d", mode.name, keep), func(t *testing.T) {
				t.Parallel()
				k := 0
				for saveWithFault(t, keep, func(call, write int) fault { return mode.spoil(call, write, k) }) {
					k++
				}
				if k < 3 {
					t.Errorf("only %d calls failed", k)
				}
			})
		}
	}
}

// saveWithFault saves a third checkpoint on a failing disk and examines what is left. It returns
// false if the save made no call that fails.
func saveWithFault(t *testing.T, keep int, fail func(call, write int) fault) bool {
	t.Helper()
	dir := t.TempDir()
	healthy := mustOpen(t, &faulty{fail: never}, dir, Keep{Newest: keep})
	mustSave(t, healthy, 1, SaveAs{Best: true})
	previous := mustSave(t, healthy, 2, SaveAs{})
	failed := false
	bad := &faulty{fail: func(call, write int) fault {
		f := fail(call, write)
		failed = failed || f != fault{}
		return f
	}}
	store := &Store{dir: dir, keep: Keep{Newest: keep}, fs: bad}
	path, saveErr := store.Save(stateAt(4), SaveAs{Best: true})
	at := fmt.Sprintf("call %d, %q, save gave %q, %v", bad.calls, bad.trace[len(bad.trace)-1], path, saveErr)

	check := func(when string) {
		found, err := Newest(dir)
		if err != nil || len(found.Skipped) > 0 {
			t.Fatalf("%s: %s: newest: %v, skipped %v", at, when, err, found.Skipped)
		}
		isNew := differs(found.State, stateAt(4)) == ""
		if !isNew && (path != "" || saveErr == nil || differs(found.State, stateAt(2)) != "") {
			t.Fatalf("%s: %s: newest is %s", at, when, found.Path)
		}
		if _, err := Load(previous); err != nil && (keep > 1 || path == "") {
			t.Fatalf("%s: %s: previous: %v", at, when, err)
		}
		for _, link := range []string{bestLink, lastLink} {
			if _, err := Load(filepath.Join(dir, link)); err != nil {
				t.Fatalf("%s: %s: %v", at, when, err)
			}
		}
	}
	check("after the fault")
	if !failed {
		return false
	}
	mustOpen(t, &faulty{fail: never}, dir, Keep{Newest: keep})
	check("after opening again")
	if s := strangers(t, dir); len(s) > 0 {
		t.Fatalf("%s: strays %q", at, s)
	}
	found, err := Newest(dir)
	if err != nil || readlink(t, dir, lastLink) != filepath.Base(found.Path) {
		t.Fatalf("%s: last is %s, newest %s", at, readlink(t, dir, lastLink), found.Path)
	}
	return true
}

// TestASaveThatFailedCanBeRepeated repeats it with the same store once the disk works again:
// leftovers that could not be removed are no obstacle.
func TestASaveThatFailedCanBeRepeated(t *testing.T) {
	t.Parallel()
	for k := 0; ; k++ {
		dir := t.TempDir()
		fsys := &faulty{fail: never}
		store := mustOpen(t, fsys, dir, Keep{Newest: 1})
		mustSave(t, store, 1, SaveAs{Best: true})
		fsys.calls = 0
		fsys.fail = func(call, _ int) fault {
			if call >= k {
				return fault{err: syscall.EIO}
			}
			return fault{}
		}
		_, failed := store.Save(stateAt(2), SaveAs{Best: true})
		fsys.fail = never
		path := mustSave(t, store, 2, SaveAs{Best: true})
		for _, p := range []string{path, filepath.Join(dir, bestLink), filepath.Join(dir, lastLink)} {
			if s, err := Load(p); err != nil || differs(s, stateAt(2)) != "" {
				t.Fatalf("call %d: %s: %v", k, p, err)
			}
		}
		if failed == nil {
			return
		}
	}
}

func TestAWriteThatWasLostIsAnError(t *testing.T) {
	for k := range 3 { // one write for each file
		dir := t.TempDir()
		store := mustOpen(t, &faulty{fail: func(_, write int) fault { return fault{half: write == k} }}, dir, Keep{Newest: 1})
		path, err := store.Save(stateAt(1), SaveAs{})
		if path != "" || !errors.Is(err, ErrBad) {
			t.Errorf("write %d: saved %q, %v", k, path, err)
		}
		if got := names(t, dir); len(got) > 0 {
			t.Errorf("write %d left %q", k, got)
		}
	}
}

// flip inverts one bit of a file; a negative offset counts from the end.
func flip(t *testing.T, path string, offset int64, bit int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if offset < 0 {
		end, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			t.Fatal(err)
		}
		offset += end
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEveryBitFlipIsFound(t *testing.T) {
	path := mustSave(t, mustOpen(t, disk{}, t.TempDir(), Keep{Newest: 1}), 1, SaveAs{})
	files := names(t, path)
	sizes := map[string]int64{}
	for _, f := range files {
		info, err := os.Stat(filepath.Join(path, f))
		if err != nil {
			t.Fatal(err)
		}
		sizes[f] = info.Size()
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 10000 {
		name := files[rng.IntN(len(files))]
		file, offset, bit := filepath.Join(path, name), rng.Int64N(sizes[name]), rng.IntN(8)
		flip(t, file, offset, bit)
		_, err := Load(path)
		if !errors.Is(err, ErrBad) {
			t.Fatalf("bit %d of byte %d of %s: error %v", bit, offset, name, err)
		}
		mention(t, err, file)
		flip(t, file, offset, bit)
	}
	if _, err := Load(path); err != nil {
		t.Fatalf("after all flips were undone: %v", err)
	}
	flip(t, filepath.Join(path, modelFile), -1, 3)
	_, err := Load(path)
	mention(t, err, modelFile, `tensor "fc.weight"`)
}

func TestFilesOfAnotherCheckpointAreRefused(t *testing.T) {
	store := mustOpen(t, disk{}, t.TempDir(), Keep{Newest: 2})
	a, b := mustSave(t, store, 1, SaveAs{}), mustSave(t, store, 2, SaveAs{})
	if err := os.Rename(filepath.Join(a, modelFile), filepath.Join(b, modelFile)); err != nil {
		t.Fatal(err)
	}
	_, err := Load(b)
	mention(t, err, filepath.Join(b, modelFile), "tensor")
	if !errors.Is(err, ErrBad) {
		t.Errorf("%v is no ErrBad", err)
	}
}

func TestAManifestThatContradictsItsFilesIsRefused(t *testing.T) {
	path := mustSave(t, mustOpen(t, disk{}, t.TempDir(), Keep{Newest: 1}), 1, SaveAs{})
	good, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*File){
		"size":          func(f *File) { f.Size++ },
		"sha256":        func(f *File) { f.SHA256 = strings.Repeat("0", 64) },
		"crc":           func(f *File) { f.Tensors["fc.weight"]++ },
		"tensor absent": func(f *File) { delete(f.Tensors, "fc.weight") },
		"extra tensor":  func(f *File) { f.Tensors["extra"] = 0 },
	} {
		m := good.Manifest
		m.Files = maps.Clone(m.Files)
		f := m.Files[modelFile]
		f.Tensors = maps.Clone(f.Tensors)
		spoil(&f)
		m.Files[modelFile] = f
		text, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(path, manifestFile), text)
		if _, err := Load(path); !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), modelFile) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	m := good.Manifest
	m.Files = nil
	text, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	for says, text := range map[string][]byte{"does not list": text, "more than": append(text, make([]byte, maxManifest)...)} {
		writeFile(t, filepath.Join(path, manifestFile), text)
		_, err = Load(path)
		mention(t, err, path, says)
	}
}

// childFolder tells the test binary to save in a loop instead of testing.
const childFolder = "SENET_CHECKPOINT_TEST_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		fmt.Println(saveForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// bigState is stateAt with enough bytes that a kill finds the writing of them under way.
func bigState(step int) State {
	s := stateAt(step)
	s.Model["fc.weight"] = dense(step, 100, 1000)
	s.Optimizer["fc.weight.momentum"] = dense(step+1, 100, 1000)
	return s
}

// saveForever goes on from the newest checkpoint and prints each step once Save has returned.
func saveForever(dir string) error {
	store, err := Open(dir, Keep{Newest: 2})
	if err != nil {
		return err
	}
	found, err := Newest(dir)
	if err != nil {
		return err
	}
	for step := found.State.Manifest.GlobalStep; ; {
		fmt.Println(step)
		step++
		if _, err := store.Save(bigState(step), SaveAs{Best: step%3 == 0}); err != nil {
			return err
		}
	}
}

// killsVariable is the environment's number of kills, 40 if it has none.
const killsVariable = "SENET_KILLS"

func kills(t *testing.T) int {
	t.Helper()
	text, ok := os.LookupEnv(killsVariable)
	if !ok {
		return 40
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number of kills", killsVariable, text)
	}
	return n
}

// TestAKillAtAnyMomentLeavesAValidCheckpoint kills a saving process again and again.
func TestAKillAtAnyMomentLeavesAValidCheckpoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustSave(t, mustOpen(t, disk{}, dir, Keep{Newest: 2}), 0, SaveAs{Best: true})
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	reached, strays, n := 0, 0, kills(t)
	for kill := range n {
		acked := runUntilKilled(t, exe, dir, 1+rng.IntN(3), time.Duration(rng.Int64N(int64(30*time.Millisecond))))
		found, err := Newest(dir)
		if err != nil || len(found.Skipped) > 0 {
			t.Fatalf("kill %d: newest: %v, skipped %v", kill, err, found.Skipped)
		}
		step := found.State.Manifest.GlobalStep
		if step < acked || step > acked+1 {
			t.Fatalf("kill %d: step %d was saved, newest is %d", kill, acked, step)
		}
		if want := bigState(step); step > 0 && differs(found.State, want) != "" {
			t.Fatalf("kill %d: step %d: %s is not what was saved", kill, step, differs(found.State, want))
		}
		reached = max(reached, step)
		strays += len(strangers(t, dir))
		mustOpen(t, disk{}, dir, Keep{Newest: 2})
		if s := strangers(t, dir); len(s) > 0 {
			t.Fatalf("kill %d: strays %q", kill, s)
		}
		best, err := Load(filepath.Join(dir, bestLink))
		if err != nil || best.Manifest.GlobalStep != step/3*3 {
			t.Fatalf("kill %d: at step %d best is %d, %v", kill, step, best.Manifest.GlobalStep, err)
		}
		if last := readlink(t, dir, lastLink); last != filepath.Base(found.Path) {
			t.Fatalf("kill %d: last is %s, newest %s", kill, last, found.Path)
		}
	}
	t.Logf("%d saves, %d kills, which left %d strays until the next start", reached, n, strays)
	if reached < n/2 {
		t.Errorf("only %d saves were made", reached)
	}
}

// runUntilKilled starts a process that saves, kills it that long after its n-th announcement,
// and returns the last step it announced as saved.
func runUntilKilled(t *testing.T, exe, dir string, n int, after time.Duration) int {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childFolder+"="+dir)
	out := &announcements{lines: make(chan struct{}, 1000)}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range n {
		select {
		case <-out.lines:
		case <-time.After(30 * time.Second):
			t.Error("the process said nothing for 30 s")
		}
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the process ended by itself: %v: %s", err, out.text.String())
	}
	lines := strings.Split(strings.TrimSpace(out.text.String()), "\n")
	step, err := strconv.Atoi(lines[len(lines)-1])
	if err != nil {
		t.Fatalf("the process printed %q", out.text.String())
	}
	return step
}

// announcements collects output and tells of each line.
type announcements struct {
	text  bytes.Buffer
	lines chan struct{}
}

func (a *announcements) Write(p []byte) (int, error) {
	for range bytes.Count(p, []byte("\n")) {
		a.lines <- struct{}{}
	}
	return a.text.Write(p)
}
