package cli

import (
	"fmt"
	"strings"

	"senet/internal/backend"
	"senet/internal/cpu"
	"senet/internal/cuda"
)

const deviceHelp = "auto, cpu, cuda or cuda:N; auto takes the first GPU that can be used, else the CPU"

// openDevice opens the backend that a --device value or config key asks for. The note is one
// line for the user when auto fell back to the CPU.
func openDevice(device string, threads int) (backend.Backend, string, error) {
	switch {
	case device == "cpu":
		b, err := cpu.New(cpu.Options{Threads: threads})
		return b, "", err
	case device == "auto":
		b, err := cpu.New(cpu.Options{Threads: threads})
		return b, "device: using the CPU, " + noGPU(cuda.Probe()), err
	case device == "cuda" || strings.HasPrefix(device, "cuda:"):
		return nil, "", fmt.Errorf("device %q: %w: %s", device, backend.ErrNoDevice, noGPU(cuda.Probe()))
	}
	return nil, "", fmt.Errorf("%w: --device %q: want %s", errUsage, device, deviceHelp)
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
