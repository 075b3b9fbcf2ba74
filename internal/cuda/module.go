package cuda

/*
#include "driver.h"

// gorgonia.org/cu would hand the driver the address of Go's memory as a number, for the log.
static CUresult load(CUmodule *m, const void *image, char *log, size_t size) {
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, (void *)size};
  return cuModuleLoadDataEx(m, image, 2, options, values);
}
*/
import "C"

import (
	"bytes"
	"errors"
	"strings"
	"unsafe"

	"gorgonia.org/cu"
)

// module is compiled kernels, loaded on the device.
type module struct{ m C.CUmodule }

// loadModule loads a cubin, or PTX, which the driver compiles.
func (d *device) loadModule(image []byte) (*module, error) {
	if len(image) == 0 {
		return nil, errors.New("cuda: load a module: it is empty")
	}
	text := append(bytes.Clone(image), 0) // PTX ends with a zero
	log := make([]byte, 8<<10)
	m := &module{}
	code := C.load(&m.m, unsafe.Pointer(&text[0]), (*C.char)(unsafe.Pointer(&log[0])), C.size_t(len(log)))
	if code != C.CUDA_SUCCESS {
		said, _, _ := bytes.Cut(log, []byte{0})
		return nil, &driverError{what: "load a module", code: code, log: strings.TrimSpace(string(said))}
	}
	return m, nil
}

// unload frees the module; none of its functions may be used afterwards. Unloading twice does nothing.
func (m *module) unload() error {
	if m.m == nil {
		return nil
	}
	err := failed("unload a module", C.cuModuleUnload(m.m))
	m.m = nil
	return err
}

// function is a kernel of a module.
type function struct {
	name string
	f    cu.Function
}

// c is the driver's handle, which is all that a cu.Function holds.
func (f *function) c() C.CUfunction { return *(*C.CUfunction)(unsafe.Pointer(&f.f)) }

// function finds a kernel by name and loads its code.
func (m *module) function(name string) (*function, error) {
	k, err := (*(*cu.Module)(unsafe.Pointer(&m.m))).Function(name) // a cu.Module holds the handle alone
	if err != nil {
		return nil, wrap("find kernel "+name, err)
	}
	f := &function{name, k}
	// Code is loaded when it is first needed, which waits for the device, and so must not happen in a capture. Drivers
	// before CUDA 12.4 load it above and have no such call.
	if code := C.cuFuncLoad(f.c()); code != C.CUDA_SUCCESS && code != C.CUDA_ERROR_STUB_LIBRARY {
		return nil, failed("load kernel "+name, code)
	}
	return f, nil
}

// freeShared is the dynamic shared memory in bytes that a launch may ask for without saying so before.
const freeShared = 48 << 10

// setShared allows launches with so many bytes of dynamic shared memory.
func (f *function) setShared(bytes int) error {
	if bytes <= freeShared {
		return nil
	}
	return failed("set the shared memory of kernel "+f.name,
		C.cuFuncSetAttribute(f.c(), C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(bytes)))
}

// launch issues the kernel to s; shared is its dynamic shared memory in bytes, args point to one word for each argument.
// gorgonia.org/cu copies them for each launch, which a captured phase does once.
func (f *function) launch(s *stream, grid, block [3]int, shared int, args []unsafe.Pointer) error {
	return wrap("launch kernel "+f.name, f.f.Launch(grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, s.s, args))
}

// arguments points to each word; of an argument of 4 bytes the word's lower half counts.
func arguments(words []uint64) []unsafe.Pointer {
	args := make([]unsafe.Pointer, len(words))
	for i := range words {
		args[i] = unsafe.Pointer(&words[i])
	}
	return args
}
