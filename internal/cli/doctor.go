package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	xcpu "golang.org/x/sys/cpu"

	"senet/internal/cpu"
	"senet/internal/cuda"
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
	Auto      string        `json:"auto"` // what --device auto uses
}

type cpuReport struct {
	Model       string   `json:"model"`
	Cores       int      `json:"cores"` // that this process may use
	MemoryBytes int64    `json:"memory_bytes"`
	Features    []string `json:"features"` // of those senet has kernels for, or oneDNN
	Backend     string   `json:"backend"`
}

type libraryInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Path    string `json:"path"`
}

func newDoctorCmd(d *deps, run func(context.Context, *deps, DoctorOptions) error) *cobra.Command {
	var o DoctorOptions
	cmd := &cobra.Command{
		Use: "doctor", Short: "Tell what this machine offers and why a GPU is not used", Args: cobra.NoArgs,
		Long: "Tell what this machine offers: CPU features, libraries with versions and paths, the NVIDIA\ndriver and its devices, and why a GPU is not used. With --device, exit 4 if it cannot be used.",
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	cmd.Flags().StringVar(&o.Device, "device", "auto", deviceHelp)
	return cmd
}

func runDoctor(ctx context.Context, d *deps, o DoctorOptions) error {
	b, _, err := d.open("cpu", 0)
	if err != nil {
		return err
	}
	describe := b.Describe()
	if err := b.Close(); err != nil {
		return err
	}
	r := doctorReport{
		Version:   versionInfo{Version: Version, Go: runtime.Version(), Platform: platform(), OneDNN: cpu.LibraryVersion()},
		CPU:       cpuReport{Model: cpuModel(), Cores: runtime.GOMAXPROCS(0), MemoryBytes: memoryBytes(), Features: cpuFeatures(), Backend: describe},
		Libraries: []libraryInfo{{"oneDNN", cpu.LibraryVersion(), mappedLibrary("libdnnl")}},
		CUDA:      cuda.Probe(),
	}
	r.Auto = "cpu"
	if o.JSON {
		err = writeJSON(d.Out, r)
	} else {
		err = r.print(d.Out)
	}
	if err != nil {
		return err
	}
	used, _, err := d.open(o.Device, 0)
	if err != nil {
		return err
	}
	return used.Close()
}

func (r doctorReport) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "senet      %s (%s, %s)\n", r.Version.Version, r.Version.Go, r.Version.Platform)
	fmt.Fprintf(&b, "cpu        %s, %d cores, %s memory\n", r.CPU.Model, r.CPU.Cores, report.FormatBytes(r.CPU.MemoryBytes))
	fmt.Fprintf(&b, "features   %s\n", strings.Join(r.CPU.Features, " "))
	fmt.Fprintf(&b, "backend    %s\n", r.CPU.Backend)
	for _, l := range r.Libraries {
		fmt.Fprintf(&b, "library    %s %s at %s\n", l.Name, l.Version, l.Path)
	}
	if r.CUDA.Version != "" {
		fmt.Fprintf(&b, "cuda       driver supports CUDA %s\n", r.CUDA.Version)
	}
	for _, dev := range r.CUDA.Devices {
		fmt.Fprintf(&b, "cuda:%d     %s, compute capability %s, %s\n", dev.Index, dev.Name, dev.Compute, report.FormatBytes(dev.TotalBytes))
	}
	fmt.Fprintf(&b, "gpu        not used: %s\n", noGPU(r.CUDA))
	fmt.Fprintf(&b, "auto       --device auto uses the %s\n", strings.ToUpper(r.Auto))
	_, err := io.WriteString(w, b.String())
	return err
}

func cpuFeatures() []string {
	var fs []string
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"avx2", xcpu.X86.HasAVX2}, {"fma", xcpu.X86.HasFMA}, {"avx512f", xcpu.X86.HasAVX512F}, {"avx512bw", xcpu.X86.HasAVX512BW},
		{"avx512vl", xcpu.X86.HasAVX512VL}, {"avx512_vnni", xcpu.X86.HasAVX512VNNI}, {"avx512_bf16", xcpu.X86.HasAVX512BF16},
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
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// mappedLibrary is the path of the loaded shared library whose file name starts with prefix.
func mappedLibrary(prefix string) string {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if at := strings.LastIndexByte(line, '/'); at >= 0 && strings.HasPrefix(line[at+1:], prefix) {
			return line[strings.IndexByte(line, '/'):]
		}
	}
	return ""
}
