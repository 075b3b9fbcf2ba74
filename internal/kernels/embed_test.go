package kernels_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"senet/internal/kernels"
)

var update = flag.Bool("update", false, "write testdata/ptxas.golden anew")

const golden = "testdata/ptxas.golden"

// maySpill names kernels that may keep registers in memory. None does: spilling costs a pass over memory that no
// count of bytes shows.
var maySpill = map[string]bool{}

// TestRegistersStay compares what the kernels take with the committed figures, so that a change of them is seen.
// The allowed cost is none: after a change that is meant, -update writes the file anew and its diff is reviewed.
func TestRegistersStay(t *testing.T) {
	table := unzip(t, "ptxas.txt")
	if err := spills(table); err != nil {
		t.Error(err)
	}
	if *update {
		if err := os.WriteFile(golden, table, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range compareLines(string(want), string(table)) {
		t.Error(difference)
	}
	if t.Failed() {
		t.Log("if this is meant: go test ./internal/kernels -run TestRegistersStay -update")
	}
}

func TestSpillsAreFound(t *testing.T) {
	head := "kernel  sm_80  shared  stack  spill\n"
	if err := spills([]byte(head + "relu_f32x4  16  0  0  0\n")); err != nil {
		t.Errorf("no spill: %v", err)
	}
	for _, bad := range []string{head, "", head + "relu_f32x4  16  0  0  8\n", head + "relu_f32x4  16  0  0\n", head + "relu_f32x4  16  0  0  ?\n"} {
		if spills([]byte(bad)) == nil {
			t.Errorf("%q: want an error", bad)
		}
	}
}

// spills reports the kernels of the table whose last column, the bytes spilled, is not 0.
func spills(table []byte) error {
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	if len(lines) < 2 {
		return fmt.Errorf("ptxas.txt names no kernel: %q", table)
	}
	columns := len(strings.Fields(lines[0]))
	var errs []error
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) != columns {
			return fmt.Errorf("ptxas.txt: want %d columns: %q", columns, line)
		}
		bytes, err := strconv.Atoi(fields[columns-1])
		if err != nil {
			return fmt.Errorf("ptxas.txt: %q: %w", line, err)
		}
		if bytes != 0 && !maySpill[fields[0]] {
			errs = append(errs, fmt.Errorf("kernel %s spills %d bytes of registers to memory", fields[0], bytes))
		}
	}
	return errors.Join(errs...)
}

// compareLines lists the lines that only one text has. Columns may be spaced differently.
func compareLines(want, got string) []string {
	split := func(text string) []string {
		var lines []string
		for line := range strings.Lines(text) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		return lines
	}
	var differences []string
	before, now := split(want), split(got)
	for _, line := range before {
		if !slices.Contains(now, line) {
			differences = append(differences, "only in "+golden+": "+line)
		}
	}
	for _, line := range now {
		if !slices.Contains(before, line) {
			differences = append(differences, "not in "+golden+":  "+line)
		}
	}
	return differences
}

func TestImageSuitsTheDevice(t *testing.T) {
	for compute, want := range map[int]string{
		80: "sm_80/relu.cubin", 86: "sm_86/relu.cubin", 87: "sm_86/relu.cubin", 89: "sm_89/relu.cubin", 90: "sm_90/relu.cubin",
		100: "sm_100/relu.cubin", 103: "sm_100/relu.cubin", 120: "sm_120/relu.cubin", 121: "sm_120/relu.cubin",
		110: "compute_80/relu.ptx", 130: "compute_80/relu.ptx",
	} {
		image, err := kernels.Image("relu", compute)
		if err != nil {
			t.Errorf("%d: %v", compute, err)
		} else if !bytes.Equal(image, unzip(t, want)) {
			t.Errorf("%d: the image is not %s", compute, want)
		}
	}
	if image, err := kernels.Image("relu", 90); err != nil || !bytes.HasPrefix(image, []byte("\x7fELF")) {
		t.Errorf("sm_90: no ELF image, error %v", err)
	}
	if image, err := kernels.Image("relu", 130); err != nil || !bytes.Contains(image, []byte(".target sm_80")) {
		t.Errorf("compute_80: no PTX, error %v", err)
	}
}

func TestImageErrors(t *testing.T) {
	for _, c := range []struct {
		module  string
		compute int
		want    string
	}{
		{"relu", 75, "the device has compute capability 7.5: senet's kernels need 8.0 or newer"},
		{"ptxas", 90, `no kernel module "ptxas"`},
		{"", 90, `no kernel module ""`},
	} {
		if _, err := kernels.Image(c.module, c.compute); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q on %d: error %v, want one with %q", c.module, c.compute, err, c.want)
		}
	}
}

// TestModulesAreTheSources fails when kernels.zip is older than a new or a removed .cu file.
func TestModulesAreTheSources(t *testing.T) {
	paths, err := filepath.Glob("*.cu")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range paths {
		want = append(want, strings.TrimSuffix(p, ".cu"))
	}
	slices.Sort(want)
	if got := kernels.Modules(); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("kernels.zip has modules %q, the sources are %q: run `make kernels`", got, want)
	}
}

// unzip returns an entry of the archive.
func unzip(t *testing.T, name string) []byte {
	t.Helper()
	z, err := zip.OpenReader("kernels.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	f, err := z.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
