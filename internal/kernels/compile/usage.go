package main

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// usage is what a kernel takes of a multiprocessor, in registers a thread and in bytes: shared is static shared memory
// of a block, stack and spill are memory of a thread, which is slow.
type usage struct{ registers, shared, stack, spill int }

var (
	// entryLine starts the figures of a kernel in ptxas's log; the others follow.
	entryLine  = regexp.MustCompile(`Compiling entry function '(\w+)'`)
	memoryLine = regexp.MustCompile(`(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads`)
	usedLine   = regexp.MustCompile(`Used (\d+) registers(?:.*?, (\d+) bytes smem)?`)
)

// parseUsage reads the log of one compilation to machine code.
func parseUsage(log string) (map[string]usage, error) {
	kernels := map[string]usage{}
	name := ""
	for line := range strings.Lines(log) {
		if m := entryLine.FindStringSubmatch(line); m != nil {
			name = m[1]
			kernels[name] = usage{}
		} else if m := memoryLine.FindStringSubmatch(line); m != nil {
			u := kernels[name]
			u.stack, u.spill = number(m[1]), number(m[2])+number(m[3])
			kernels[name] = u
		} else if m := usedLine.FindStringSubmatch(line); m != nil {
			u := kernels[name]
			u.registers, u.shared = number(m[1]), number(m[2])
			kernels[name] = u
		}
	}
	if len(kernels) == 0 {
		return nil, fmt.Errorf("no kernel in the log of ptxas: %q", log)
	}
	for name, u := range kernels {
		if u.registers == 0 {
			return nil, fmt.Errorf("no figures of kernel %q in the log of ptxas: %q", name, log)
		}
	}
	return kernels, nil
}

// number is digits as an int, 0 for none.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// row is a line of the table: a kernel's registers on each architecture, and the most that it takes on any.
type row struct {
	stem      string // of its file
	registers map[string]int
	most      usage
}

// rowsOf collects the figures by kernel. Kernels are found by name alone, so no two files may have the same.
func rowsOf(jobs []job, results []result) (map[string]*row, error) {
	rows := map[string]*row{}
	for i, j := range jobs {
		if !j.target.machine {
			continue
		}
		kernels, err := parseUsage(results[i].log)
		if err != nil {
			return nil, fmt.Errorf("%s.cu for %s: %w", j.source.stem, j.target.name, err)
		}
		for name, u := range kernels {
			r := rows[name]
			if r == nil {
				r = &row{stem: j.source.stem, registers: map[string]int{}}
				rows[name] = r
			}
			if r.stem != j.source.stem {
				return nil, fmt.Errorf("kernel %q is both in %s.cu and in %s.cu", name, r.stem, j.source.stem)
			}
			r.registers[j.target.name] = u.registers
			r.most = usage{0, max(r.most.shared, u.shared), max(r.most.stack, u.stack), max(r.most.spill, u.spill)}
		}
	}
	return rows, nil
}

// usageTable has a line for each kernel, sorted by name.
func usageTable(jobs []job, results []result) ([]byte, error) {
	rows, err := rowsOf(jobs, results)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(rows))
	width := 0
	for _, name := range names {
		width = max(width, len(name))
	}
	var to bytes.Buffer
	fmt.Fprintf(&to, "%-*s", width, "kernel")
	for _, t := range targets {
		if t.machine {
			fmt.Fprintf(&to, "%8s", t.name)
		}
	}
	fmt.Fprintf(&to, "%8s%8s%8s\n", "shared", "stack", "spill")
	for _, name := range names {
		fmt.Fprintf(&to, "%-*s", width, name)
		for _, t := range targets {
			if t.machine {
				fmt.Fprintf(&to, "%8d", rows[name].registers[t.name])
			}
		}
		most := rows[name].most
		fmt.Fprintf(&to, "%8d%8d%8d\n", most.shared, most.stack, most.spill)
	}
	return to.Bytes(), nil
}
