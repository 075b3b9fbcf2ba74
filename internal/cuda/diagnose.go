package cuda

// #include "driver.h"
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// surroundings is what helps to tell why a driver does not work. The pointers are nil where a variable is not set.
type surroundings struct {
	container bool
	kernel    string  // the version of the driver in the kernel, "" if there is none
	nodes     bool    // there are device files of NVIDIA
	denied    string  // the first of them that may not be opened, "" if all may
	visible   *string // CUDA_VISIBLE_DEVICES
	mounted   *string // NVIDIA_VISIBLE_DEVICES, which a container runtime reads
}

func look() surroundings {
	var s surroundings
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		_, err := os.Stat(mark)
		s.container = s.container || err == nil
	}
	s.container = s.container || os.Getenv("KUBERNETES_SERVICE_HOST") != ""
	text, _ := os.ReadFile("/proc/driver/nvidia/version") // nothing, where the module is not loaded
	s.kernel = kernelVersion(string(text))
	nodes, _ := filepath.Glob("/dev/nvidia*") // the pattern is a good one
	s.nodes, s.denied = len(nodes) > 0, firstDenied(nodes, openable)
	s.visible, s.mounted = variable("CUDA_VISIBLE_DEVICES"), variable("NVIDIA_VISIBLE_DEVICES")
	return s
}

func variable(name string) *string {
	if v, set := os.LookupEnv(name); set {
		return &v
	}
	return nil
}

// kernelVersion is the first word like 535.104.05 of the file that the kernel's module shows.
func kernelVersion(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	for word := range strings.FieldsSeq(line) {
		if strings.Trim(word, "0123456789.") == "" && strings.Contains(word, ".") {
			return word
		}
	}
	return ""
}

// firstDenied is the first path that open says may not be opened, or "".
func firstDenied(paths []string, open func(string) error) string {
	for _, p := range paths {
		if errors.Is(open(p), fs.ErrPermission) {
			return p
		}
	}
	return ""
}

// openable opens a device file as the driver does. Folders of capabilities lie beside the files.
func openable(path string) error {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

const withGPUs = "start the container with --gpus all (podman: --device nvidia.com/gpu=all), on a host with the driver and the NVIDIA Container Toolkit"

// loadProblem says why libcuda.so.1 was not loaded; text is the dynamic linker's.
func loadProblem(text string, s surroundings) string {
	if !strings.HasPrefix(text, "libcuda.so.1: cannot open shared object file: No such file") {
		return fmt.Sprintf("the NVIDIA driver's libcuda.so.1 was found but does not load: %s", text)
	}
	const missing = "libcuda.so.1 was not found"
	switch {
	case s.kernel != "" && s.container:
		return fmt.Sprintf("the kernel has NVIDIA driver %s, but in this container %s; %s, and with NVIDIA_DRIVER_CAPABILITIES=compute,utility", s.kernel, missing, withGPUs)
	case s.kernel != "":
		return fmt.Sprintf("the kernel has NVIDIA driver %s, but %s; install the rest of that driver (Debian: libcuda1, Ubuntu: libnvidia-compute)", s.kernel, missing)
	case s.container:
		return fmt.Sprintf("no NVIDIA driver: %s; %s", missing, withGPUs)
	}
	return fmt.Sprintf("no NVIDIA driver: %s; install driver %s or newer, or in a container, start it with --gpus all", missing, oldestDriverName)
}

// initProblem says why the driver, loaded from library, did not start with code.
func initProblem(code C.CUresult, library string, s surroundings) string {
	switch code {
	case C.CUDA_ERROR_STUB_LIBRARY:
		return fmt.Sprintf("%s is the stub of the CUDA toolkit, not a driver: take its folder out of LD_LIBRARY_PATH", library)
	case C.CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
		kernel := ""
		if s.kernel != "" {
			kernel = ", which is " + s.kernel
		}
		return fmt.Sprintf("%s is of another version than the NVIDIA driver in the kernel%s: restart the container, or the machine after an upgrade of the driver", library, kernel)
	case C.CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE:
		return fmt.Sprintf("%s is for forward compatibility (package cuda-compat), which this GPU does not support: take its folder out of LD_LIBRARY_PATH, so that the driver's own is found", library)
	case C.CUDA_ERROR_SYSTEM_NOT_READY:
		return "the NVIDIA driver is not ready: start the services that it needs, e.g. nvidia-fabricmanager on machines with NVSwitch"
	}
	// The driver answers one of several codes to the same cause.
	switch {
	case s.denied != "":
		return fmt.Sprintf("no permission to open %s: become a member of its group (ls -l %s), or in a container, start it with --gpus all", s.denied, s.denied)
	case (code == C.CUDA_ERROR_NO_DEVICE || code == C.CUDA_ERROR_INVALID_DEVICE) && s.visible != nil:
		return fmt.Sprintf("CUDA_VISIBLE_DEVICES=%q hides the GPUs from the NVIDIA driver; unset it, or give numbers that nvidia-smi lists", *s.visible)
	case !s.nodes && s.mounted != nil && (*s.mounted == "" || *s.mounted == "void" || *s.mounted == "none"):
		return fmt.Sprintf("NVIDIA_VISIBLE_DEVICES=%q keeps the GPUs out of this container; set it to all", *s.mounted)
	case !s.nodes && s.container:
		return "libcuda.so.1 is there, but no /dev/nvidia*: " + withGPUs
	case !s.nodes && code == C.CUDA_ERROR_NO_DEVICE:
		return "the NVIDIA driver finds no GPU, and there is no /dev/nvidia*: see whether the GPU is plugged in and nvidia-smi lists it; modprobe nvidia loads the driver's module"
	case code == C.CUDA_ERROR_NO_DEVICE:
		return "the NVIDIA driver finds no GPU: see whether nvidia-smi lists one"
	case code == C.CUDA_ERROR_UNKNOWN || code == C.CUDA_ERROR_OPERATING_SYSTEM:
		return fmt.Sprintf("the NVIDIA driver does not start: %s; nvidia-modprobe -u -c 0, as root, loads the module nvidia_uvm, which it needs", codeText(code))
	}
	return fmt.Sprintf("the NVIDIA driver does not start: %s; see whether nvidia-smi works", codeText(code))
}
