package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"senet/internal/backend"
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

// isDevice reports whether s is written as a device is, be it there or not.
func isDevice(s string) bool {
	if n, ok := strings.CutPrefix(s, "cuda:"); ok {
		i, err := strconv.ParseUint(n, 10, 16)
		return err == nil && strconv.FormatUint(i, 10) == n
	}
	return s == "auto" || s == "cpu" || s == "cuda"
}

// openDevice opens the backend that a --device value or config key asks for. The note is one
// line for the user when auto fell back to the CPU.
func openDevice(device string, threads int) (backend.Backend, string, error) {
	if !isDevice(device) {
		return nil, "", fmt.Errorf("%w: device %q: want %s", errUsage, device, deviceHelp)
	}
	if device != "auto" && device != "cpu" {
		return nil, "", fmt.Errorf("device %q: %w: %s", device, backend.ErrNoDevice, noGPU(cuda.Probe()))
	}
	b, err := cpu.New(cpu.Options{Threads: threads})
	if err != nil {
		return nil, "", err
	}
	if device == "auto" {
		return b, "device: using the CPU, " + noGPU(cuda.Probe()), nil
	}
	return b, "", nil
}

// noGPU says why no GPU is used.
func noGPU(d cuda.Driver) string {
	if d.Problem != "" {
		return d.Problem
	}
	return fmt.Sprintf("%s is there, but this version of senet has no CUDA kernels", d.Devices[0].Name)
}

// openBackend opens a device and tells the user in one line when auto fell back to the CPU.
func (d *deps) openBackend(device string, threads int) (backend.Backend, error) {
	b, note, err := d.open(device, threads)
	if err == nil && note != "" {
		fmt.Fprintln(d.Err, note)
	}
	return b, err
}
