package cuda

/*
#include <stdlib.h>
#include "cudnn.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// cudnnLibrary is the name by which the system's loader finds cuDNN 9.
const cudnnLibrary = "libcudnn.so.9"

// CuDNN tells the version of cuDNN that senet would use, e.g. "9.28.0", or in plain words why it can use none.
func CuDNN() (version, problem string) { return cudnnAt(cudnnLibrary) }

func cudnnAt(path string) (version, problem string) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var v C.size_t
	var e C.senet_cudnn_error
	if C.senet_cudnn_version(name, &v, &e) != 0 {
		return "", cudnnProblem(path, C.GoString(&e.text[0]))
	}
	return cudnnVersion(int(v)), ""
}

func cudnnVersion(v int) string { return fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100) }

// cudnnProblem says what to do about the loader's message.
func cudnnProblem(path, text string) string {
	if strings.HasPrefix(text, path+": cannot open shared object file") {
		text = path + " was not found"
	}
	return "cuDNN 9 cannot be used: " + text + "; install NVIDIA's package cudnn9-cuda-12, or pip install nvidia-cudnn-cu12" +
		" and add its folders nvidia/cudnn/lib and nvidia/cublas/lib to LD_LIBRARY_PATH"
}

// cudnn is the library with a handle on the device whose context is current. It and what it makes belong to the
// device's thread.
type cudnn struct {
	native  *C.senet_cudnn
	version string
	cache   *convCache // nil: choices are not kept
}

// openCuDNN makes a handle that launches on stream, a CUstream.
func openCuDNN(stream uintptr) (*cudnn, error) { return openCuDNNAt(cudnnLibrary, stream, "") }

// openCuDNNAt opens the library at path. Where properties is not "", it describes a device that need not be there, in
// the JSON of CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION: then plans can be made, but not run.
func openCuDNNAt(path string, stream uintptr, properties string) (*cudnn, error) {
	version, problem := cudnnAt(path)
	if problem != "" {
		return nil, errors.New(problem)
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var device *C.char
	if properties != "" {
		device = C.CString(properties)
		defer C.free(unsafe.Pointer(device))
	}
	c := &cudnn{version: version}
	var e C.senet_cudnn_error
	if C.senet_cudnn_open(name, C.uint64_t(stream), device, &c.native, &e) != 0 {
		return nil, cudnnError(&e)
	}
	return c, nil
}

// close frees the handle. Plans and runs are freed before.
func (c *cudnn) close() error {
	var e C.senet_cudnn_error
	if C.senet_cudnn_close(c.native, &e) != 0 {
		return cudnnError(&e)
	}
	return nil
}

func cudnnError(e *C.senet_cudnn_error) error { return errors.New("cudnn: " + C.GoString(&e.text[0])) }
