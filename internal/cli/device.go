package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"senet/internal/backend"
	"senet/internal/config"
	"senet/internal/cpu"
	"senet/internal/cuda"
)

const deviceHelp = "auto, cpu, cuda or cuda:N; auto takes the first GPU that can be used, else the CPU"

// addDeviceFlag adds --device, whose default is what device holds; "" stands for the config's.
func addDeviceFlag(cmd *cobra.Command, device *string) {
	help := deviceHelp
	if *device == "" {
		help += " (default: the config's)"
	}
	cmd.Flags().Var((*deviceFlag)(device), "device", help)
	_ = cmd.RegisterFlagCompletionFunc("device", cobra.FixedCompletions([]string{"auto", "cpu", "cuda"}, cobra.ShellCompDirectiveNoFileComp))
}

// deviceFlag is the value of --device, checked when the command line is read.
type deviceFlag string

func (f *deviceFlag) String() string { return string(*f) }

func (f *deviceFlag) Type() string { return "device" }

func (f *deviceFlag) Set(s string) error {
	if !isDevice(s) {
		return errors.New("want auto, cpu, cuda or cuda:N")
	}
	*f = deviceFlag(s)
	return nil
}

// precisions are the values of --precision and of the config's key, see configs/reference.yaml.
var precisions = []string{"auto", "float32", "tf32", "bf16", "fp16"}

// addPrecisionFlag adds --precision, whose default is what precision holds; "" stands for the config's.
func addPrecisionFlag(cmd *cobra.Command, precision *string) {
	help := "auto, float32, tf32, bf16 or fp16; auto is bf16 on a GPU and float32 on the CPU, which has no other"
	if *precision == "" {
		help += " (default: the config's)"
	}
	cmd.Flags().Var((*precisionFlag)(precision), "precision", help)
	_ = cmd.RegisterFlagCompletionFunc("precision", cobra.FixedCompletions(precisions, cobra.ShellCompDirectiveNoFileComp))
}

// precisionFlag is the value of --precision, checked when the command line is read.
type precisionFlag string

func (f *precisionFlag) String() string { return string(*f) }

func (f *precisionFlag) Type() string { return "precision" }

func (f *precisionFlag) Set(s string) error {
	if !slices.Contains(precisions, s) {
		return errors.New("want auto, float32, tf32, bf16 or fp16")
	}
	*f = precisionFlag(s)
	return nil
}

// isDevice reports whether s is written as a device is, be it there or not.
func isDevice(s string) bool {
	if n, ok := strings.CutPrefix(s, "cuda:"); ok {
		i, err := strconv.ParseUint(n, 10, 16)
		return err == nil && strconv.FormatUint(i, 10) == n
	}
	return s == "auto" || s == "cpu" || s == "cuda"
}

// deviceOptions say where to compute.
type deviceOptions struct {
	device    string // the value of --device or of the config's key
	threads   int    // of the CPU; 0: as many as GOMAXPROCS
	precision string
	measure   bool  // a GPU's convolutions, see cuda.Options; what does not run for long does without
	team      *team // with which to compute together; nil for a process alone
}

// openDevice opens the backend that o asks for. The note is one line for the user when auto fell back to the CPU.
func openDevice(o deviceOptions) (backend.Backend, string, error) {
	device := o.device
	if !isDevice(device) {
		return nil, "", fmt.Errorf("%w: device %q: want %s", errUsage, device, deviceHelp)
	}
	if o.team != nil {
		device = o.team.device
	}
	if device == "cpu" {
		b, err := openCPU(o)
		return b, "", err
	}
	index, found := deviceIndex(device), cuda.Driver{}
	if device == "auto" {
		found = cuda.Probe()
		index = max(firstUsable(found), 0)
	}
	b, note, err := openCUDA(index, o)
	if device == "auto" && errors.Is(err, backend.ErrNoDevice) {
		b, err := openCPU(o)
		return b, "device: using the CPU, " + noGPU(found), err
	}
	if err != nil {
		return nil, "", fmt.Errorf("device %q: %w", device, err)
	}
	return b, note, nil
}

// firstUsable is the index of the first GPU that senet runs on, -1 if there is none.
func firstUsable(d cuda.Driver) int {
	return slices.IndexFunc(d.Devices, func(dev cuda.Device) bool { return dev.Problem == "" })
}

// deviceIndex is N of cuda:N, 0 where it is left open.
func deviceIndex(device string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(device, "cuda:")) // isDevice has seen it
	return n
}

// openCPU opens the CPU, which computes in float32 alone.
func openCPU(o deviceOptions) (backend.Backend, error) {
	if o.precision != "auto" && o.precision != "float32" {
		return nil, fmt.Errorf("%w: precision: want auto or float32 on the CPU, have %s", config.ErrConfig, o.precision)
	}
	options := cpu.Options{Threads: o.threads}
	if o.team != nil {
		options.Collective = o.team.mpi
	}
	b, err := cpu.New(options)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// noGPU says why no GPU is used.
func noGPU(d cuda.Driver) string {
	if d.Problem != "" {
		return d.Problem
	}
	i := max(firstUsable(d), 0)
	return fmt.Sprintf("%s cannot be opened; --device cuda:%d tells why", d.Devices[i].Name, i)
}

// openBackend opens a device and tells the user in one line when auto fell back to the CPU.
func (d *deps) openBackend(o deviceOptions) (backend.Backend, error) {
	b, note, err := d.open(o)
	if err == nil && note != "" {
		fmt.Fprintln(d.Err, note)
	}
	return b, err
}
