package cli

import (
	"errors"
	"strings"
	"testing"

	"senet/internal/backend"
	"senet/internal/config"
	"senet/internal/cuda"
)

// TestOpenDevice: what is no device's name is a usage error, a device that is not there is ErrNoDevice.
func TestOpenDevice(t *testing.T) {
	hasGPU := cuda.Probe().Problem == ""
	for device, want := range map[string]error{
		"cpu": nil, "auto": nil,
		"cuda": backend.ErrNoDevice, "cuda:0": backend.ErrNoDevice, "cuda:15": backend.ErrNoDevice,
		"": errUsage, "gpu": errUsage, "CPU": errUsage, " cpu": errUsage, "cpu:0": errUsage, "auto:0": errUsage,
		"cuda:": errUsage, "cuda:x": errUsage, "cuda:-1": errUsage, "cuda:+1": errUsage, "cuda:01": errUsage, "cuda:1 ": errUsage, "cuda:99999999999": errUsage, "cuda1": errUsage,
	} {
		if hasGPU && errors.Is(want, backend.ErrNoDevice) {
			continue
		}
		b, note, err := openDevice(deviceOptions{device: device, threads: 1, precision: "auto"})
		if !errors.Is(err, want) {
			t.Errorf("%q: error %v, want %v", device, err, want)
		}
		if err != nil {
			continue
		}
		if b.Name() != "cpu" && !hasGPU {
			t.Errorf("%q: opened %s", device, b.Name())
		}
		if told := note != ""; told != (device == "auto" && b.Name() == "cpu") {
			t.Errorf("%q: note %q", device, note)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPrecision: the flag takes what the config's key takes, and the CPU has float32 alone.
func TestPrecision(t *testing.T) {
	for _, precision := range precisions {
		if _, err := config.Parse("test", []byte("model: {name: resnet18}"), []string{"precision=" + precision}); err != nil {
			t.Error(err)
		}
		var flag precisionFlag
		if err := flag.Set(precision); err != nil || string(flag) != precision {
			t.Errorf("--precision %s: %v", precision, err)
		}
		b, _, err := openDevice(deviceOptions{device: "cpu", threads: 1, precision: precision})
		if precision != "auto" && precision != "float32" {
			if exitCode(err, 0) != 2 || !strings.Contains(err.Error(), "precision: want auto or float32 on the CPU, have "+precision) {
				t.Errorf("precision %s on the CPU: error %v", precision, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
