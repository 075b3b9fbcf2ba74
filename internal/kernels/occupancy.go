package kernels

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

const (
	smRegisters   = 65536 // of a multiprocessor
	registerBatch = 8     // of a thread are handed out at once
)

// usage has the lines of ptxas.txt by their first column: "kernel" names the columns, a kernel's has its registers on each
// architecture. It panics where the embedded archive is broken.
var usage = sync.OnceValue(func() map[string][]string {
	z, err := images()
	if err != nil {
		panic(fmt.Errorf("open the embedded kernels: %w", err))
	}
	f, err := z.Open("ptxas.txt")
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		panic(fmt.Errorf("unpack ptxas.txt: %w", err))
	}
	lines := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		columns := strings.Fields(line)
		lines[columns[0]] = columns
	}
	return lines
})

// resident is how many blocks of that many threads, whole warps, a multiprocessor holds of a kernel by its registers. On an
// architecture that the kernels are not compiled for it takes the newest before it.
func (d Device) resident(kernel string, threads int) int {
	registers := 0
	for i, column := range usage()["kernel"] {
		digits, found := strings.CutPrefix(column, "sm_")
		if architecture, err := strconv.Atoi(digits); !found || err != nil || architecture > d.Compute && registers > 0 {
			continue
		}
		var err error
		if registers, err = strconv.Atoi(usage()[kernel][i]); err != nil {
			panic(fmt.Errorf("ptxas.txt: kernel %s: %w", kernel, err))
		}
	}
	return smRegisters / (threads * ceilDiv(registers, registerBatch) * registerBatch)
}
