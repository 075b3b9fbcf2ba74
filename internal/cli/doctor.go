package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	xcpu "golang.org/x/sys/cpu"

	"senet/internal/cpu"
	"senet/internal/cuda"
	"senet/internal/dist"
	"senet/internal/report"
)

// DoctorOptions are the flags of `senet doctor`.
type DoctorOptions struct {
	JSON   bool
	Device string // fail unless this device can be used
}

// doctorReport is the --json object of `senet doctor`.
type doctorReport struct {
	Version   versionInfo   `json:"version"`
	CPU       cpuReport     `json:"cpu"`
	Libraries []libraryInfo `json:"libraries"`
	CUDA      cuda.Driver   `json:"cuda"`
	CuDNN     optional      `json:"cudnn"` // convolves on GPUs; without it senet's own kernels do
	MPI       optional      `json:"mpi"`   // carries gradients between ranks on CPUs
	NCCL      optional      `json:"nccl"`  // between GPUs
	Auto      string        `json:"auto"`  // the backend that --device auto takes, "" if none can be used
}

// cpuReport is the processor. Cores are those that this process may use.
type cpuReport struct {
	Model       string   `json:"model"`
	Cores       int      `json:"cores"`
	MemoryBytes int64    `json:"memory_bytes"`
	Features    []string `json:"features"`          // of those senet has kernels for, or oneDNN
	Backend     string   `json:"backend,omitempty"` // its description
	Problem     string   `json:"problem,omitempty"` // why senet cannot compute there
}

// optional is a library that senet opens where it is needed and found.
type optional struct {
	Version string `json:"version,omitempty"`
	Problem string `json:"problem,omitempty"` // why senet cannot use it
}

// libraryInfo is a library that senet loads. Path is "" where it is part of the program.
type libraryInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Path    string `json:"path"`
}

func newDoctorCmd(d *deps, run func(context.Context, *deps, DoctorOptions) error) *cobra.Command {
	o := DoctorOptions{Device: "auto"}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Tell what this machine offers and why a GPU is not used", Args: cobra.NoArgs,
		Long: `Tell what this machine offers: CPU features, libraries with versions and paths, the NVIDIA
driver and its devices, and why a GPU is not used. With --device, exit 4 if it cannot be used.

--json prints {version, cpu, libraries, cuda, cudnn, mpi, nccl, auto}: version as senet version
prints it; cpu is {model, cores, memory_bytes, features, backend}, or problem in place of backend
if senet cannot compute there; libraries are a list of {name, version, path}; cuda is {found,
problem, version, library, devices}, devices a list of {index, name, compute_capability,
total_bytes, problem}, where a problem is left out if there is none; cudnn, without which a GPU
convolves with senet's own kernels, and mpi and nccl, which training on several ranks needs, are
{version} or {problem}; auto is the backend that --device auto takes, "" if there is none.`,
		Example: "  senet doctor --device cuda",
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	addDeviceFlag(cmd, &o.Device)
	return cmd
}

func runDoctor(_ context.Context, d *deps, o DoctorOptions) error {
	r := doctorReport{
		Version:   versions(),
		CPU:       cpuReport{Model: cpuModel(), Cores: runtime.GOMAXPROCS(0), MemoryBytes: memoryBytes(), Features: cpuFeatures()},
		Libraries: []libraryInfo{{"oneDNN", cpu.LibraryVersion(), mappedLibrary("libdnnl")}},
		CUDA:      cuda.Probe(),
	}
	r.CuDNN.Version, r.CuDNN.Problem = cuda.CuDNN()
	r.MPI.Version, r.MPI.Problem = dist.MPILibrary()
	r.NCCL.Version, r.NCCL.Problem = cuda.NCCL()
	_, describe, err := d.try("cpu")
	if r.CPU.Backend = describe; err != nil {
		r.CPU.Problem = err.Error()
	}
	r.Auto, _, _ = d.try("auto") // the report says of each device why it cannot be used
	if o.JSON {
		err = writeJSON(d.Out, r)
	} else {
		err = r.print(d.Out)
	}
	if err != nil {
		return err
	}
	_, _, err = d.try(o.Device)
	return err
}

// try opens and closes a device and returns the backend's name and description.
func (d *deps) try(device string) (name, describe string, err error) {
	b, _, err := d.open(deviceOptions{device: device, precision: "auto"})
	if err != nil {
		return "", "", err
	}
	return b.Name(), b.Describe(), b.Close()
}

func (r doctorReport) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "senet      %s (%s, %s)\n", r.Version.Version, r.Version.Go, r.Version.Platform)
	fmt.Fprintf(&b, "cpu        %s, %d cores, %s memory\n", r.CPU.Model, r.CPU.Cores, report.FormatBytes(r.CPU.MemoryBytes))
	fmt.Fprintf(&b, "features   %s\n", strings.Join(r.CPU.Features, " "))
	if r.CPU.Problem != "" {
		fmt.Fprintf(&b, "backend    cannot be used: %s\n", r.CPU.Problem)
	} else {
		fmt.Fprintf(&b, "backend    %s\n", r.CPU.Backend)
	}
	for _, l := range r.Libraries {
		fmt.Fprintf(&b, "library    %s %s at %s\n", l.Name, l.Version, l.Path)
	}
	if r.CUDA.Version != "" {
		fmt.Fprintf(&b, "cuda       driver supports CUDA %s, at %s\n", r.CUDA.Version, r.CUDA.Library)
	}
	for _, dev := range r.CUDA.Devices {
		fmt.Fprintf(&b, "cuda:%d     %s, compute capability %s, %s\n", dev.Index, dev.Name, dev.Compute, report.FormatBytes(dev.TotalBytes))
		if dev.Problem != "" {
			fmt.Fprintf(&b, "           cannot be used: %s\n", dev.Problem)
		}
	}
	if !strings.HasPrefix(r.Auto, "cuda") {
		fmt.Fprintf(&b, "gpu        not used: %s\n", noGPU(r.CUDA))
	}
	for _, l := range []struct {
		name string
		optional
	}{{"cudnn", r.CuDNN}, {"mpi", r.MPI}, {"nccl", r.NCCL}} {
		if l.name == "cudnn" && len(r.CUDA.Devices) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%-10s %s\n", l.name, cmp.Or(l.Version, "not used: "+l.Problem))
	}
	fmt.Fprintf(&b, "auto       --device auto takes %s\n", cmp.Or(r.Auto, "nothing"))
	_, err := io.WriteString(w, b.String())
	return err
}

func cpuFeatures() []string {
	var fs []string
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"avx2", xcpu.X86.HasAVX2},
		{"fma", xcpu.X86.HasFMA},
		{"avx512f", xcpu.X86.HasAVX512F},
		{"avx512bw", xcpu.X86.HasAVX512BW},
		{"avx512vl", xcpu.X86.HasAVX512VL},
		{"avx512_vnni", xcpu.X86.HasAVX512VNNI},
		{"avx512_bf16", xcpu.X86.HasAVX512BF16},
		{"amx_tile", xcpu.X86.HasAMXTile},
	} {
		if f.has {
			fs = append(fs, f.name)
		}
	}
	return fs
}

func cpuModel() string {
	if m := procField("/proc/cpuinfo", "model name"); m != "" {
		return m
	}
	return runtime.GOARCH
}

func memoryBytes() int64 {
	var kib int64
	if _, err := fmt.Sscanf(procField("/proc/meminfo", "MemTotal"), "%d kB", &kib); err != nil {
		return 0
	}
	return kib << 10
}

// procField is the value after "key:" in a /proc file, or "".
func procField(path, key string) string {
	text, _ := os.ReadFile(path) // nothing, where there is no such file
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// mappedLibrary is the path of the loaded shared library whose file name starts with prefix, or "".
func mappedLibrary(prefix string) string {
	text, _ := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(text)) {
		if at := strings.IndexByte(line, '/'); at >= 0 && strings.HasPrefix(filepath.Base(line), prefix) {
			return strings.TrimSpace(line[at:])
		}
	}
	return ""
}
