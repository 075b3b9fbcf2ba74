package main

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "compiler.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// openNVRTC opens the library at path and returns its version, e.g. "12.9". It must be called before compile.
func openNVRTC(path string) (string, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if problem := C.senet_nvrtc_open(name); problem != nil {
		return "", fmt.Errorf("open NVRTC: %s", C.GoString(problem))
	}
	var major, minor C.int
	C.senet_nvrtc_version(&major, &minor)
	return fmt.Sprintf("%d.%d", major, minor), nil
}

// result is a compiled kernel file and the compiler's log.
type result struct {
	image []byte
	log   string
}

// compile compiles source, called name, to machine code, or to PTX. Goroutines may call it at once.
func compile(source []byte, name string, options []string, machine bool) (result, error) {
	text, title := C.CString(string(source)), C.CString(name)
	defer C.free(unsafe.Pointer(text))
	defer C.free(unsafe.Pointer(title))
	list := make([]*C.char, len(options))
	for i, o := range options {
		list[i] = C.CString(o)
		defer C.free(unsafe.Pointer(list[i]))
	}
	var wantsMachine C.int
	if machine {
		wantsMachine = 1
	}
	var made C.senet_nvrtc_result
	C.senet_nvrtc_compile(&made, text, title, C.int(len(list)), &list[0], wantsMachine)
	defer C.free(unsafe.Pointer(made.image))
	defer C.free(unsafe.Pointer(made.log))
	log := C.GoString(made.log)
	if made.status != 0 {
		return result{}, fmt.Errorf("%s\n%s", C.GoString(C.senet_nvrtc_status(made.status)), strings.TrimSpace(log))
	}
	if made.image == nil {
		return result{}, errors.New("out of memory")
	}
	return result{C.GoBytes(unsafe.Pointer(made.image), C.int(made.bytes)), log}, nil
}
