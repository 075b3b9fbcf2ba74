package emu

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// entry is an entry point in a preprocessed file, in which __global__ and __launch_bounds__ have become these words.
// Bounds come before or after void.
var entry = regexp.MustCompile(`extern\s+"C"\s+SENET_GLOBAL\s+(?:SENET_BOUNDS(\((?:[^()]|\([^()]*\))*\))\s*)?void\s+(?:SENET_BOUNDS(\((?:[^()]|\([^()]*\))*\))\s*)?(\w+)\s*\(`)

// kernelObject compiles a .cu file and enters its kernels in the table.
func (b *builder) kernelObject(stem string, text []byte, tmp, out string) error {
	// Messages name the file as the author knows it.
	source := append([]byte(fmt.Sprintf("#line 1 \"%s.cu\"\n", stem)), text...)
	base := slices.Concat(flags, []string{"-DSENET_EMULATED", "-I", b.include, "-I", b.headers, "-x", "c++"})

	var message bytes.Buffer
	scan := exec.Command("g++", slices.Concat(base, []string{"-DSENET_SCAN", "-E", "-P", "-"})...)
	scan.Stdin, scan.Stderr = bytes.NewReader(source), &message
	flat, err := scan.Output()
	if err != nil {
		return fmt.Errorf("preprocess %s.cu: %w\n%s", stem, err, &message)
	}
	table, err := register(stem, flat)
	if err != nil {
		return err
	}
	whole := filepath.Join(tmp, "whole.o")
	if err := b.run("g++", append(source, table...), slices.Concat(base, []string{"-c", "-", "-o", whole})...); err != nil {
		return fmt.Errorf("compile %s.cu: %w", stem, err)
	}
	return b.gatherShared(stem, tmp, whole, out)
}

// register is C++ that enters the kernels of a preprocessed file in the table.
func register(stem string, flat []byte) ([]byte, error) {
	found := entry.FindAllSubmatch(flat, -1)
	if len(found) != bytes.Count(flat, []byte("SENET_GLOBAL void"))+bytes.Count(flat, []byte("SENET_GLOBAL SENET_BOUNDS")) {
		return nil, fmt.Errorf("%s.cu: a __global__ function is not written: extern \"C\" __global__ void name(...)", stem)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s.cu has no kernel", stem)
	}
	table := &bytes.Buffer{}
	fmt.Fprintf(table, "\n#include \"register.hpp\"\nSENET_SHARED_SECTION(%s)\n", sharedSection(stem))
	for _, m := range found {
		bounds := string(m[1]) + string(m[2])
		if bounds == "" {
			bounds = "()"
		}
		fmt.Fprintf(table, "SENET_REGISTER(%s, %s, %s)\n", m[3], bounds, sharedSection(stem))
	}
	return table.Bytes(), nil
}

func sharedSection(stem string) string { return "senet_shared_" + stem }

// gatherShared puts all variables that start as 0, which are shared memory, in one section of a name that C can say:
// the linker defines where it starts and stops. The attribute of g++ that names a section has no effect in templates.
// Then hidden symbols become local: files have helpers of the same name, and each file must get its own.
func (b *builder) gatherShared(stem, tmp, whole, out string) error {
	script := filepath.Join(tmp, "gather.ld")
	text := fmt.Sprintf("SECTIONS { %s 0 : { *(.bss .bss.* COMMON) } }\n", sharedSection(stem))
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		return err
	}
	gathered := filepath.Join(tmp, "gathered.o")
	if err := b.run("ld", nil, "-r", "--force-group-allocation", "-T", script, "-o", gathered, whole); err != nil {
		return fmt.Errorf("gather shared memory of %s.cu: %w", stem, err)
	}
	if err := b.run("objcopy", nil, "--localize-hidden", gathered, out); err != nil {
		return fmt.Errorf("hide helpers of %s.cu: %w", stem, err)
	}
	for _, f := range []string{script, gathered, whole} {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	return nil
}
