package cpu

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMaxISA: our own loops keep to the instruction set that ONEDNN_MAX_CPU_ISA allows oneDNN, which reads it once in a process.
func TestMaxISA(t *testing.T) {
	if os.Getenv("SENET_DESCRIBE") != "" {
		b, err := New(Options{Threads: 1})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer b.Close()
		fmt.Println(b.Describe())
		return
	}
	for isa, want := range map[string]string{"AVX2": ", AVX2, ", "SSE41": "ONEDNN_MAX_CPU_ISA forbids"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMaxISA$")
		cmd.Env = append(os.Environ(), "SENET_DESCRIBE=1", "ONEDNN_MAX_CPU_ISA="+isa)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want %q in\n%s", isa, err, want, out)
		}
	}
}
