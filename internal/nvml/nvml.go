// Package nvml asks NVIDIA's management library, which comes with the driver, how busy a GPU is.
//
//	d, err := nvml.Open(0)
//	u, err := d.Usage() // u.Utilization is 97, u.UsedBytes 23 GiB
package nvml

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "nvml.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Device is a GPU.
type Device struct{ native C.senet_nvml }

// Usage is that of all processes together.
type Usage struct {
	Utilization float64 // percent of the last moments, up to a second, in which a kernel ran
	UsedBytes   int64   // of the GPU's memory
}

// Open finds GPU index, as CUDA numbers those that it may use. CUDA must have been initialised.
func Open(index int) (*Device, error) { return openIn("libnvidia-ml.so.1", "libcuda.so.1", index) }

func openIn(library, cuda string, index int) (*Device, error) {
	cLibrary, cCUDA := C.CString(library), C.CString(cuda)
	defer C.free(unsafe.Pointer(cLibrary))
	defer C.free(unsafe.Pointer(cCUDA))
	d := &Device{}
	if problem := C.senet_nvml_open(&d.native, cLibrary, cCUDA, C.int(index)); problem != nil {
		return nil, fmt.Errorf("nvml: GPU %d: %s", index, C.GoString(problem))
	}
	return d, nil
}

// Usage looks at the device. Parts of a GPU (MIG) have no utilisation; then it is an error.
func (d *Device) Usage() (Usage, error) {
	var percent C.uint
	var used C.ulonglong
	if status := C.senet_nvml_usage(&d.native, &percent, &used); status != 0 {
		return Usage{}, fmt.Errorf("nvml: status %d", int(status))
	}
	return Usage{Utilization: float64(percent), UsedBytes: int64(used)}, nil
}
