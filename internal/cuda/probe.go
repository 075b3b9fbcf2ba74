// Package cuda finds the NVIDIA driver and its devices. Nothing is linked: the driver is
// opened at run time, so the same program starts on a host without one.
package cuda

/*
#cgo LDFLAGS: -ldl
#include "probe.h"
*/
import "C"

import "fmt"

// Device is one GPU as the driver lists it.
type Device struct {
	Index      int    `json:"index"`
	Name       string `json:"name"`
	Compute    string `json:"compute_capability"` // e.g. "9.0"
	TotalBytes int64  `json:"total_bytes"`
}

// Driver is what was found of the NVIDIA driver.
type Driver struct {
	Found   bool     `json:"found"`
	Problem string   `json:"problem,omitempty"` // why no device can be used, in plain words; "" if one can
	Version string   `json:"version,omitempty"` // the newest CUDA version it supports, e.g. "12.9"
	Devices []Device `json:"devices"`
}

// Probe opens the driver and lists its devices. It never fails: what is wrong stands in Problem.
func Probe() Driver {
	var p C.senet_cuda_probe
	C.senet_probe_cuda(&p)
	d := Driver{Devices: []Device{}}
	if p.opened == 0 {
		d.Problem = "no NVIDIA driver: libcuda.so.1 was not found; install the driver, or start the container with --gpus all"
		return d
	}
	d.Found = true
	if p.version > 0 {
		d.Version = fmt.Sprintf("%d.%d", p.version/1000, p.version%1000/10)
	}
	if p.status != 0 {
		d.Problem = fmt.Sprintf("the NVIDIA driver does not start: %s (CUDA error %d)", C.GoString(&p.message[0]), int(p.status))
		return d
	}
	for i := range int(p.count) {
		dev := p.device[i]
		d.Devices = append(d.Devices, Device{
			Index: i, Name: C.GoString(&dev.name[0]),
			Compute: fmt.Sprintf("%d.%d", int(dev.major), int(dev.minor)), TotalBytes: int64(dev.bytes),
		})
	}
	if len(d.Devices) == 0 {
		d.Problem = "the NVIDIA driver lists no device; see whether CUDA_VISIBLE_DEVICES hides it"
	}
	return d
}
