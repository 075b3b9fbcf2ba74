// Package cuda computes on NVIDIA GPUs. The driver is opened when it is first asked for, so the same program starts
// on a host without one, and Probe tells in plain words why a GPU cannot be used.
//
//	if d := cuda.Probe(); d.Problem != "" {
//		fmt.Println("no GPU:", d.Problem)
//	}
package cuda

// #include "driver.h"
import "C"

import (
	"fmt"

	"gorgonia.org/cu"
)

// Device is one GPU as the driver lists it.
type Device struct {
	Index      int    `json:"index"`
	Name       string `json:"name"`
	Compute    string `json:"compute_capability"` // e.g. "9.0"
	TotalBytes int64  `json:"total_bytes"`
	Problem    string `json:"problem,omitempty"` // why it cannot be used, in plain words; "" if it can
}

// Driver is what was found of the NVIDIA driver.
type Driver struct {
	Found   bool     `json:"found"`
	Problem string   `json:"problem,omitempty"` // why no device can be used, and how to mend it, in plain words; "" if one can
	Version string   `json:"version,omitempty"` // the newest CUDA version it supports, e.g. "12.9"
	Library string   `json:"library,omitempty"` // the file that was loaded
	Devices []Device `json:"devices"`
}

const (
	// oldestDriver is the CUDA version, as cuDriverGetVersion has it, of the first driver that loads code for CUDA 12.
	oldestDriver     = 12000
	oldestDriverName = "525"
	// oldestCompute is the lowest compute capability that there are kernels for, 10*major+minor.
	oldestCompute = 80
)

// Probe opens the driver and lists its devices. It never fails: what is wrong stands in Problem.
func Probe() Driver {
	d := Driver{Devices: []Device{}}
	if text := C.GoString(C.senet_cuda_load_error()); text != "" {
		d.Problem = loadProblem(text, look())
		return d
	}
	d.Found, d.Library = true, C.GoString(C.senet_cuda_library())
	version := cu.Version()
	if version > 0 {
		d.Version = fmt.Sprintf("%d.%d", version/1000, version%1000/10)
	}
	if code := C.senet_cuda_init_status(); code != 0 {
		d.Problem = initProblem(C.CUresult(code), d.Library, look())
		return d
	}
	if err := d.list(); err != nil {
		d.Problem = err.Error()
		return d
	}
	switch {
	case len(d.Devices) == 0:
		d.Problem = initProblem(C.CUDA_ERROR_NO_DEVICE, d.Library, look())
	case version < oldestDriver:
		d.Problem = fmt.Sprintf("the NVIDIA driver is too old: it supports CUDA %s, and the kernels need 12.0; install driver %s or newer",
			d.Version, oldestDriverName)
	default:
		d.Problem = d.Devices[0].Problem
		for _, dev := range d.Devices {
			if dev.Problem == "" {
				d.Problem = ""
			}
		}
	}
	return d
}

// list asks the driver for its devices.
func (d *Driver) list() error {
	n, err := cu.NumDevices()
	if err != nil {
		return wrap("count the devices", err)
	}
	for i := range n {
		dev, err := describe(i)
		if err != nil {
			return wrap(fmt.Sprintf("ask for cuda:%d", i), err)
		}
		d.Devices = append(d.Devices, dev)
	}
	return nil
}

func describe(index int) (Device, error) {
	dev := Device{Index: index}
	ordinal, err := cu.GetDevice(index)
	if err != nil {
		return dev, err
	}
	if dev.Name, err = ordinal.Name(); err != nil {
		return dev, err
	}
	if dev.TotalBytes, err = ordinal.TotalMem(); err != nil {
		return dev, err
	}
	major, err := ordinal.Attribute(cu.ComputeCapabilityMajor)
	if err != nil {
		return dev, err
	}
	minor, err := ordinal.Attribute(cu.ComputeCapabilityMinor)
	if err != nil {
		return dev, err
	}
	dev.Compute = fmt.Sprintf("%d.%d", major, minor)
	if 10*major+minor < oldestCompute {
		dev.Problem = fmt.Sprintf("%s is too old: it has compute capability %s, and the kernels need %d.%d (Ampere) or newer",
			dev.Name, dev.Compute, oldestCompute/10, oldestCompute%10)
	}
	return dev, nil
}
