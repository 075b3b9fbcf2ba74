package dist

/*
#include <stdlib.h>
#include "mpi.h"
*/
import "C"

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"
)

// library is an MPI library that was opened.
type library struct {
	native        *C.senet_mpi
	path, version string
}

// Names by which the system's loader finds MPI: of Open MPI 4 and 5, and of MPICH and those with its binary interface.
var (
	openMPINames = []string{"libmpi.so.40"}
	mpichNames   = []string{"libmpi.so.12", "libmpich.so.12"}
)

// MPILibrary tells the library that senet would use, e.g. "Open MPI v5.0.11", or in plain words why it can use none.
func MPILibrary() (version, problem string) {
	lib, err := openLibrary()
	if err != nil {
		return "", err.Error()
	}
	return lib.version, ""
}

// openLibrary takes the library that fits the launcher of this rank where there are several.
func openLibrary() (library, error) {
	names := append(append([]string(nil), openMPINames...), mpichNames...)
	if os.Getenv(hydra.rank) != "" && os.Getenv(openMPI.rank) == "" {
		names = append(append([]string(nil), mpichNames...), openMPINames...)
	}
	names = append(names, "libmpi.so")
	var problems []string
	for _, name := range names {
		lib, err := openAt(name)
		if err == nil {
			return lib, nil
		}
		if !strings.HasPrefix(err.Error(), name+": cannot open shared object file") {
			problems = append(problems, err.Error())
		}
	}
	if len(problems) == 0 {
		problems = []string{"none of " + strings.Join(names, ", ") + " was found"}
	}
	return library{}, fmt.Errorf("%w: %s; install Open MPI or MPICH, or add its folder of libraries to LD_LIBRARY_PATH",
		ErrNoMPI, strings.Join(problems, "; "))
}

// opened are the libraries of this process. Each is opened once, or it would not be unloaded when MPI has ended.
var opened = struct {
	sync.Mutex
	by map[string]library
}{by: map[string]library{}}

func openAt(path string) (library, error) {
	opened.Lock()
	defer opened.Unlock()
	if lib, ok := opened.by[path]; ok {
		return lib, nil
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	lib := library{path: path}
	var version [256]C.char
	var e C.senet_mpi_error
	if C.senet_mpi_open(name, &lib.native, &version[0], C.size_t(len(version)), &e) != 0 {
		return library{}, mpiError(&e)
	}
	// "Open MPI v5.0.11, package: ..." or "MPICH Version:      5.0.2\nMPICH Release date: ..."
	line, _, _ := strings.Cut(C.GoString(&version[0]), "\n")
	line, _, _ = strings.Cut(line, ",")
	lib.version = strings.Join(strings.Fields(strings.ReplaceAll(line, "Version:", "")), " ")
	opened.by[path] = lib
	return lib, nil
}
