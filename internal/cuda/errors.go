package cuda

// #include "driver.h"
import "C"

import (
	"fmt"
	"reflect"

	"senet/internal/backend"
)

// driverError is a call of the driver that failed.
type driverError struct {
	what string
	code C.CUresult
	log  string // what the driver said besides, "" if nothing
}

// failed is the error of a call that returned code, nil for success.
func failed(what string, code C.CUresult) error {
	if code == C.CUDA_SUCCESS {
		return nil
	}
	return &driverError{what: what, code: code}
}

// wrap adds to an error of gorgonia.org/cu what was done. Its type is a CUresult, but not exported.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return failed(what, C.CUresult(reflect.ValueOf(err).Int()))
}

func (e *driverError) Error() string {
	s := fmt.Sprintf("cuda: %s: %s", e.what, codeText(e.code))
	if e.log != "" {
		s += ": " + e.log
	}
	if e.Unwrap() != nil {
		s += ": " + e.Unwrap().Error()
	}
	return s
}

// errBusy is what a device answers that lets no further process in.
var errBusy = &driverError{code: C.CUDA_ERROR_DEVICE_UNAVAILABLE}

// Is compares the codes.
func (e *driverError) Is(other error) bool {
	o, ok := other.(*driverError)
	return ok && o.code == e.code
}

func (e *driverError) Unwrap() error {
	if sticky(e.code) {
		return backend.ErrDeviceLost
	}
	return nil
}

// codeText is the driver's text and name of a code, e.g. "out of memory (CUDA_ERROR_OUT_OF_MEMORY)".
func codeText(code C.CUresult) string {
	var text, name *C.char
	if C.cuGetErrorString(code, &text) != C.CUDA_SUCCESS || C.cuGetErrorName(code, &name) != C.CUDA_SUCCESS {
		return fmt.Sprintf("CUDA error %d", int(code))
	}
	return fmt.Sprintf("%s (%s)", C.GoString(text), C.GoString(name))
}

// sticky reports whether the process can compute nothing more on the device. Of most of these codes cuda.h says that
// "any further CUDA work will return the same error" until the process is started anew: the context is corrupt. The
// others say that the hardware or its memory failed, that a kernel's assertion did, that the driver shut down or does
// not know what happened: what the device holds since is not to be trusted either. CUDA_ERROR_DEVICE_UNAVAILABLE is
// not among them: it refuses a new context, and another process can end.
func sticky(code C.CUresult) bool {
	switch code {
	case C.CUDA_ERROR_CONTAINED, C.CUDA_ERROR_ILLEGAL_ADDRESS, C.CUDA_ERROR_LAUNCH_TIMEOUT,
		C.CUDA_ERROR_HARDWARE_STACK_ERROR, C.CUDA_ERROR_ILLEGAL_INSTRUCTION, C.CUDA_ERROR_MISALIGNED_ADDRESS,
		C.CUDA_ERROR_INVALID_ADDRESS_SPACE, C.CUDA_ERROR_INVALID_PC, C.CUDA_ERROR_LAUNCH_FAILED,
		C.CUDA_ERROR_TENSOR_MEMORY_LEAK, C.CUDA_ERROR_MPS_CLIENT_TERMINATED, C.CUDA_ERROR_EXTERNAL_DEVICE:
		return true
	case C.CUDA_ERROR_ECC_UNCORRECTABLE, C.CUDA_ERROR_NVLINK_UNCORRECTABLE, C.CUDA_ERROR_DEINITIALIZED,
		C.CUDA_ERROR_CONTEXT_IS_DESTROYED, C.CUDA_ERROR_ASSERT, C.CUDA_ERROR_UNKNOWN:
		return true
	}
	return false
}

// OutOfMemory is the error of an allocation that the device has no room for. All are bytes.
type OutOfMemory struct {
	Asked, Free, Total int64
}

// Error says in MiB what was asked for and what there is.
func (e *OutOfMemory) Error() string {
	const mib = 1 << 20
	return fmt.Sprintf("cuda: out of memory: %d MiB asked for, %d of %d MiB are free",
		(e.Asked+mib-1)/mib, e.Free/mib, e.Total/mib)
}
