package kernels

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// compiled is written by ./compile: the kernels as <architecture>/<module>.cubin and as PTX, and ptxas.txt, which says
// what each takes (occupancy.go).
//
//go:embed kernels.zip
var compiled []byte

// images opens the archive once; it is small enough to stay in memory packed.
var images = sync.OnceValues(func() (*zip.Reader, error) {
	return zip.NewReader(bytes.NewReader(compiled), int64(len(compiled)))
})

// Image returns what the driver loads for a module, the stem of its .cu file, on a device of this compute capability,
// major*10 + minor: machine code where there is some that runs there, else PTX, which the driver compiles first. The
// error says so where the device is too old.
func Image(module string, compute int) ([]byte, error) {
	z, err := images()
	if err != nil {
		return nil, fmt.Errorf("open the embedded kernels: %w", err)
	}
	best, bestScore, oldest := (*zip.File)(nil), 0, 0
	for _, f := range z.File {
		folder, file := path.Split(f.Name)
		if strings.TrimSuffix(file, path.Ext(file)) != module || folder == "" {
			continue
		}
		kind, digits, _ := strings.Cut(strings.TrimSuffix(folder, "/"), "_")
		architecture, err := strconv.Atoi(digits)
		if err != nil {
			return nil, fmt.Errorf("embedded kernels: %q is for no architecture", f.Name)
		}
		if oldest == 0 || architecture < oldest {
			oldest = architecture
		}
		if score := suits(kind, architecture, compute); score > bestScore {
			best, bestScore = f, score
		}
	}
	switch {
	case oldest == 0:
		return nil, fmt.Errorf("there is no kernel module %q", module)
	case best == nil:
		return nil, fmt.Errorf("the device has compute capability %s: senet's kernels need %s or newer (A100, RTX 30 series)", dotted(compute), dotted(oldest))
	}
	r, err := best.Open()
	if err != nil {
		return nil, fmt.Errorf("unpack kernel %s: %w", best.Name, err)
	}
	defer r.Close() //nolint:errcheck // it only reads memory
	image, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("unpack kernel %s: %w", best.Name, err)
	}
	return image, nil
}

// suits ranks an image of a kind for an architecture on a device: 0 where it does not run. Machine code (sm) runs on
// its own major version from its minor version on, PTX (compute) on all that is not older.
func suits(kind string, architecture, compute int) int {
	switch {
	case architecture > compute:
		return 0
	case kind == "compute":
		return architecture
	case architecture/10 == compute/10:
		return 1000 + architecture // before any PTX
	}
	return 0
}

// dotted writes compute capability 90 as 9.0.
func dotted(compute int) string { return fmt.Sprintf("%d.%d", compute/10, compute%10) }

// Modules lists the modules that Image knows, sorted.
func Modules() []string {
	z, err := images()
	if err != nil {
		return nil
	}
	var modules []string
	for _, f := range z.File {
		if folder, file := path.Split(f.Name); folder != "" {
			modules = append(modules, strings.TrimSuffix(file, path.Ext(file)))
		}
	}
	slices.Sort(modules)
	return slices.Compact(modules)
}
