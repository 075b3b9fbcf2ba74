package cuda

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"senet/internal/backend"
)

// children are run by asked in a process of their own, which another driver is loaded into; what they return is JSON.
var children = map[string]func() any{
	"probe":   func() any { return Probe() },
	"open":    childOpen,
	"lost":    childLost,
	"memory":  childMemory,
	"module":  childModule,
	"capture": childCapture,
}

const child = "SENET_TEST_CHILD"

func init() {
	run := children[os.Getenv(child)]
	if run == nil {
		return
	}
	if err := json.NewEncoder(os.Stdout).Encode(run()); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// asked runs a child with the libcuda.so.1 of a folder, and decodes what it returned.
func asked(t *testing.T, name, folder string, to any, env ...string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CUDA_VISIBLE_DEVICES=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, child+"="+name, "LD_LIBRARY_PATH="+folder), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	if err := json.Unmarshal(out, to); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// fakeDriver compiles testdata/driver.c, and returns how a child is run on it.
func fakeDriver(t *testing.T) func(name string, to any, env ...string) {
	t.Helper()
	folder := t.TempDir()
	out, err := exec.Command("g++", "-x", "c", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-shared", "-fPIC",
		"-o", filepath.Join(folder, "libcuda.so.1"), "testdata/driver.c").CombinedOutput()
	if err != nil {
		t.Fatalf("compile the driver: %v\n%s", err, out)
	}
	return func(name string, to any, env ...string) {
		t.Helper()
		asked(t, name, folder, to, env...)
	}
}

// opened is what childOpen found.
type opened struct {
	Error         string
	NoDevice      bool
	Name          string
	Compute, SMs  int
	Total         int64
	PeakBandwidth float64
}

func childOpen() any {
	var index int
	if _, err := fmt.Sscan(os.Getenv("INDEX"), &index); err != nil {
		return opened{Error: err.Error()}
	}
	d, err := openDevice(index)
	if err != nil {
		return opened{Error: err.Error(), NoDevice: errors.Is(err, backend.ErrNoDevice)}
	}
	o := opened{Name: d.name, Compute: d.compute, SMs: d.sms, Total: d.totalBytes, PeakBandwidth: d.peakBandwidth}
	if err := errors.Join(d.close(), d.close()); err != nil {
		o.Error = err.Error()
	}
	return o
}

func TestOpenDevice(t *testing.T) {
	ask := fakeDriver(t)
	const devices = "DRIVER_DEVICES=Old:75,New:90"
	for name, c := range map[string]struct {
		index    string
		env      []string
		want     string // in the error
		noDevice bool
	}{
		"past the last": {"2", []string{devices}, "no such device: the driver lists 2 GPU(s), counted from cuda:0", true},
		"too old":       {"0", []string{devices}, "no such device: Old is too old: it has compute capability 7.5", true},
		"no driver":     {"0", []string{"DRIVER_INIT=803", devices}, "no such device: ", true},
		"busy":          {"1", []string{devices, "DRIVER_FAILS=cuDevicePrimaryCtxRetain", "DRIVER_CODE=46"}, "no such device: another process has it", true},
		"out of memory": {"1", []string{devices, "DRIVER_FAILS=cuDevicePrimaryCtxRetain", "DRIVER_CODE=2"}, "cuda: open cuda:1: text of 2 (CUDA_ERROR_2)", false},
		"not released":  {"1", []string{devices, "DRIVER_FAILS=cuDevicePrimaryCtxRelease", "DRIVER_CODE=1"}, "cuda: close cuda:1: text of 1", false},
	} {
		var o opened
		ask("open", &o, append(c.env, "INDEX="+c.index)...)
		if !strings.HasPrefix(o.Error, c.want) || o.NoDevice != c.noDevice {
			t.Errorf("%s: %+v, want the error %q, no device %v", name, o, c.want, c.noDevice)
		}
	}
	var o opened
	ask("open", &o, devices, "INDEX=1")
	if want := (opened{Name: "New", Compute: 90, SMs: 132, Total: 2 << 30, PeakBandwidth: 2 * 2619e6 * 640}); o != want {
		t.Errorf("opened %+v, want %+v", o, want)
	}
}

// childLost sees how a device is lost, and that nothing runs on it afterwards.
func childLost() any {
	d, err := openDevice(0)
	if err != nil {
		return []string{err.Error()}
	}
	var s *stream
	var said []string
	note := func(err error) { said = append(said, fmt.Sprint(err, " lost ", errors.Is(err, backend.ErrDeviceLost))) }
	note(d.do(func() (err error) { s, err = d.newStream(); return err }))
	note(d.do(func() error { return s.sync() }))
	note(d.do(func() error { panic("must not run") }))
	note(d.close())
	note(d.do(func() error { panic("must not run") }))
	return said
}

func TestLostDevice(t *testing.T) {
	ask := fakeDriver(t)
	for code, lost := range map[int]bool{700: true, 702: true, 714: true, 719: true, 214: true, 220: true, 999: true, 1: false, 46: false, 600: false} {
		sync := fmt.Sprintf("cuda: wait for a stream: text of %d (CUDA_ERROR_%d)", code, code)
		want := []string{"<nil> lost false", sync + " lost false", "", "<nil> lost false", "cuda: the device is closed lost false"}
		if lost {
			want[1] = sync + ": device lost lost true"
			want[2] = "cuda: nothing runs since an earlier error: " + want[1]
		}
		var said []string
		ask("lost", &said, "DRIVER_DEVICES=A:80", "DRIVER_FAILS=cuStreamSynchronize", fmt.Sprintf("DRIVER_CODE=%d", code))
		if !lost && len(said) == len(want) {
			if !strings.HasPrefix(said[2], "cuda: panic on the device's thread: must not run") {
				t.Errorf("code %d: %q, want the panic", code, said[2])
			}
			said[2] = ""
		}
		if strings.Join(said, "\n") != strings.Join(want, "\n") {
			t.Errorf("code %d: %q, want %q", code, said, want)
		}
	}
}

func childMemory() any {
	d, err := openDevice(0)
	if err != nil {
		return err.Error()
	}
	err = d.do(func() error { _, err := d.alloc(3<<20 + 1); return err })
	var full *OutOfMemory
	return fmt.Sprint(err, " ", errors.As(err, &full))
}

func TestOutOfMemory(t *testing.T) {
	ask := fakeDriver(t)
	var said string
	ask("memory", &said, "DRIVER_DEVICES=A:80", "DRIVER_FAILS=cuMemAlloc", "DRIVER_CODE=2")
	if want := "cuda: out of memory: 4 MiB asked for, 5 of 7 MiB are free true"; said != want {
		t.Errorf("%q, want %q", said, want)
	}
	ask("memory", &said, "DRIVER_DEVICES=A:80", "DRIVER_FAILS=cuMemAlloc", "DRIVER_CODE=1")
	if want := "cuda: allocate 3145729 bytes: text of 1 (CUDA_ERROR_1) false"; said != want {
		t.Errorf("%q, want %q", said, want)
	}
}

// childModule loads modules and launches a kernel of one.
func childModule() any {
	d, err := openDevice(0)
	if err != nil {
		return []string{err.Error()}
	}
	var said []string
	note := func(err error) { said = append(said, fmt.Sprint(err)) }
	note(d.do(func() error {
		for _, bad := range []string{"", "prose"} {
			_, err := d.loadModule([]byte(bad))
			note(err)
		}
		m, err := d.loadModule([]byte("good PTX"))
		if err != nil {
			return err
		}
		_, err = m.function("other")
		note(err)
		f, err := m.function("kernel")
		if err != nil {
			return err
		}
		note(errors.Join(f.setShared(48<<10), f.setShared(48<<10+1)))
		s, err := d.newStream()
		if err != nil {
			return err
		}
		args := arguments([]uint64{0x1122334455667788, 0xffffffff0000002a})
		note(f.launch(s, [3]int{1, 2, 3}, [3]int{4, 5, 6}, 7, args))
		note(errors.Join(s.destroy(), m.unload(), m.unload()))
		return nil
	}))
	return append(said, fmt.Sprint(d.close()))
}

func TestModule(t *testing.T) {
	ask := fakeDriver(t)
	want := []string{
		"cuda: load a module: it is empty",
		"cuda: load a module: text of 218 (CUDA_ERROR_218): ptxas: line 1: prose is no PTX",
		"cuda: find kernel other: text of 500 (CUDA_ERROR_500)",
		"<nil>", // shared memory
		"<nil>", // launch
		"<nil>", // unload
		"<nil>", // do
		"<nil>", // close
	}
	var said []string
	ask("module", &said, "DRIVER_DEVICES=A:80")
	if strings.Join(said, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, want %q", said, want)
	}
	ask("module", &said, "DRIVER_DEVICES=A:80", "DRIVER_FAILS=cuLaunchKernel", "DRIVER_CODE=701")
	if want := "cuda: launch kernel kernel: text of 701 (CUDA_ERROR_701)"; len(said) < 5 || said[4] != want {
		t.Errorf("%q, want %q", said, want)
	}
}

// childCapture captures work that succeeds, fails and panics.
func childCapture() any {
	d, err := openDevice(0)
	if err != nil {
		return []string{err.Error()}
	}
	var said []string
	err = d.do(func() error {
		s, err := d.newStream()
		if err != nil {
			return err
		}
		for _, f := range []func() error{
			func() error { return nil }, func() error { return errors.New("it fails") }, func() error { panic("it panics") },
		} {
			r, err := s.capture(f)
			line, _, _ := strings.Cut(fmt.Sprint(err), "\n")
			if r != nil {
				line = fmt.Sprint("recorded ", errors.Join(r.destroy(), r.destroy()))
			}
			said = append(said, line)
		}
		return nil
	})
	return append(said, fmt.Sprint(err))
}

func TestFailedCapture(t *testing.T) {
	ask := fakeDriver(t)
	for call, want := range map[string][]string{
		"":                     {"recorded <nil>", "it fails", "cuda: panic on the device's thread: it panics"},
		"cuStreamBeginCapture": {"cuda: start to capture a stream: text of 901 (CUDA_ERROR_901)"},
		"cuStreamEndCapture":   {"cuda: capture a stream: text of 901 (CUDA_ERROR_901)", "it fails", "cuda: panic on the device's thread: it panics"},
		"cuGraphInstantiate":   {"cuda: prepare a captured stream: text of 901 (CUDA_ERROR_901)", "it fails", "cuda: panic on the device's thread: it panics"},
	} {
		for len(want) < 3 {
			want = append(want, want[0])
		}
		want = append(want, "<nil>")
		var said []string
		ask("capture", &said, "DRIVER_DEVICES=A:80", "DRIVER_FAILS="+call, "DRIVER_CODE=901")
		if strings.Join(said, "\n") != strings.Join(want, "\n") {
			t.Errorf("%q fails: %q, want %q", call, said, want)
		}
	}
}
