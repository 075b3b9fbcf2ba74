package cuda

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProbe: whatever the machine has, the probe answers, and a machine without a usable device says why.
func TestProbe(t *testing.T) {
	d := Probe()
	if len(d.Devices) == 0 && d.Problem == "" {
		t.Error("no device and no problem named")
	}
	if d.Problem == "" && d.Devices[0].Name == "" {
		t.Errorf("devices found, yet %+v", d)
	}
	if !d.Found && (d.Version != "" || len(d.Devices) > 0) {
		t.Errorf("no driver, yet %+v", d)
	}
}

func TestProbeWithoutDriver(t *testing.T) {
	var d Driver
	asked(t, "probe", t.TempDir(), &d)
	if d.Found {
		t.Skip("this machine has a driver")
	}
	if !strings.Contains(d.Problem, "libcuda.so.1 was not found") || !strings.Contains(d.Problem, "--gpus all") {
		t.Errorf("%+v", d)
	}
}

func TestProbeDriverThatDoesNotLoad(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "libcuda.so.1"), []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	var d Driver
	asked(t, "probe", folder, &d)
	if d.Found || !strings.Contains(d.Problem, "does not load") || !strings.Contains(d.Problem, folder) {
		t.Errorf("%+v", d)
	}
}

// TestProbeDriver asks the driver of testdata; devices are name:compute capability.
func TestProbeDriver(t *testing.T) {
	ask := fakeDriver(t)
	for name, c := range map[string]struct {
		env     []string
		problem string // what it contains, "" for none
		devices int
	}{
		"one":                {[]string{"DRIVER_DEVICES=A:80"}, "", 1},
		"second is good":     {[]string{"DRIVER_DEVICES=A:75,B:120"}, "", 2},
		"all too old":        {[]string{"DRIVER_DEVICES=Tesla T4:75,B:61"}, "Tesla T4 is too old: it has compute capability 7.5, and the kernels need 8.0", 2},
		"none":               {nil, "nvidia", 0},
		"hidden":             {[]string{"CUDA_VISIBLE_DEVICES=7"}, `CUDA_VISIBLE_DEVICES="7" hides`, 0},
		"hidden from cuInit": {[]string{"CUDA_VISIBLE_DEVICES=", "DRIVER_INIT=100"}, `CUDA_VISIBLE_DEVICES="" hides`, 0},
		"oldest":             {[]string{"DRIVER_DEVICES=A:80", "DRIVER_VERSION=12000"}, "", 1},
		"too old":            {[]string{"DRIVER_DEVICES=A:80", "DRIVER_VERSION=11080"}, "supports CUDA 11.8, and the kernels need 12.0; install driver 525", 1},
		"mismatch":           {[]string{"DRIVER_DEVICES=A:80", "DRIVER_INIT=803"}, "another version than the NVIDIA driver in the kernel", 0},
		"compatibility":      {[]string{"DRIVER_INIT=804"}, "cuda-compat", 0},
		"stub":               {[]string{"DRIVER_INIT=34"}, "libcuda.so.1 is the stub", 0},
		"count":              {[]string{"DRIVER_FAILS=cuDeviceGetCount", "DRIVER_CODE=3"}, "count the devices: text of 3", 0},
	} {
		var d Driver
		ask("probe", &d, c.env...)
		if !d.Found || d.Version == "" || !strings.HasSuffix(d.Library, "/libcuda.so.1") || len(d.Devices) != c.devices {
			t.Errorf("%s: %+v", name, d)
		}
		if (c.problem == "") != (d.Problem == "") || !strings.Contains(d.Problem, c.problem) {
			t.Errorf("%s: %q, want one with %q", name, d.Problem, c.problem)
		}
		for i, dev := range d.Devices {
			if dev.Index != i || dev.Name == "" || dev.TotalBytes != int64(i+1)<<30 {
				t.Errorf("%s: device %d: %+v", name, i, dev)
			}
		}
	}
}

func TestDiagnosis(t *testing.T) {
	const absent = "libcuda.so.1: cannot open shared object file: No such file or directory"
	some := func(s string) *string { return &s }
	for name, c := range map[string]struct{ problem, want string }{
		"bare":                    {loadProblem(absent, surroundings{}), "install driver 525 or newer"},
		"container":               {loadProblem(absent, surroundings{container: true}), "NVIDIA Container Toolkit"},
		"container with a module": {loadProblem(absent, surroundings{container: true, kernel: "535.1"}), "535.1, but in this container libcuda.so.1 was not found; start the container with --gpus all"},
		"module only":             {loadProblem(absent, surroundings{kernel: "535.1"}), "libnvidia-compute"},
		"a library it needs":      {loadProblem("libz.so.9: cannot open shared object file: No such file or directory", surroundings{}), "does not load: libz.so.9"},
		"denied":                  {initProblem(100, "", surroundings{nodes: true, denied: "/dev/nvidia0", visible: some("0")}), "no permission to open /dev/nvidia0"},
		"denied, another code":    {initProblem(304, "", surroundings{nodes: true, denied: "/dev/nvidiactl"}), "no permission to open /dev/nvidiactl"},
		"visible":                 {initProblem(101, "", surroundings{nodes: true, visible: some("GPU-1")}), `CUDA_VISIBLE_DEVICES="GPU-1"`},
		"not mounted":             {initProblem(100, "", surroundings{container: true, mounted: some("void")}), `NVIDIA_VISIBLE_DEVICES="void"`},
		"mounted":                 {initProblem(100, "", surroundings{container: true, mounted: some("all")}), "no /dev/nvidia*: start the container"},
		"no module":               {initProblem(100, "", surroundings{}), "modprobe nvidia"},
		"no device":               {initProblem(100, "", surroundings{nodes: true}), "see whether nvidia-smi lists one"},
		"no uvm":                  {initProblem(999, "", surroundings{nodes: true}), "nvidia_uvm"},
		"fabric":                  {initProblem(802, "", surroundings{nodes: true}), "nvidia-fabricmanager"},
		"mismatch":                {initProblem(803, "/lib/libcuda.so.1", surroundings{nodes: true, kernel: "535.1"}), "/lib/libcuda.so.1 is of another version than the NVIDIA driver in the kernel, which is 535.1"},
		"another":                 {initProblem(807, "", surroundings{nodes: true}), "does not start"},
	} {
		if !strings.Contains(c.problem, c.want) {
			t.Errorf("%s: %q, want one with %q", name, c.problem, c.want)
		}
	}
}

func TestSurroundings(t *testing.T) {
	for text, want := range map[string]string{
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc version 12.2.0\n": "535.104.05",
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n":                                          "570.86.15",
		"": "",
	} {
		if got := kernelVersion(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	open := func(path string) error {
		if path == "/dev/a" {
			return nil
		}
		return fmt.Errorf("%s: %w", path, map[string]error{"/dev/b": errors.New("busy"), "/dev/c": fs.ErrPermission}[path])
	}
	if got := firstDenied([]string{"/dev/a", "/dev/b", "/dev/c"}, open); got != "/dev/c" {
		t.Errorf("denied: %q, want /dev/c", got)
	}
	if got := firstDenied([]string{"/dev/a", "/dev/b"}, open); got != "" {
		t.Errorf("denied: %q, want nothing", got)
	}
}
