package kernels_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// hot has, by module and kernels, the loads that a thread is to have under way together in the loop that moves the bytes:
// 4 pixels (each_pixel in channel_sums.cuh) of as many maps as it reads, or as many terms as a loop is unrolled for. A
// loop with branches is left out, such as that of the tail's gradient, whose maps may be absent: its order tells nothing.
var hot = map[string]map[string]int{
	"bn_se_add_relu": {
		`sums_(f32x4|bf16x8|f16x8)|none_(f32x4|bf16x8|f16x8)`: 4, `(identity|projection)_(f32x4|bf16x8|f16x8)|statistics`: 8,
	},
	"bn_se_add_relu_grad": {`channels`: 8},
	"global_avg_pool":     {`sums_(f32x4|bf16x8|f16x8)`: 4, `join`: 8},
	"scale":               {`scale_(f32x4|bf16x8|f16x8)`: 4, `grad_(f32x4|bf16x8|f16x8)`: 8},
	"conv":                {`sum_f32x4`: 4, `sum_(bf16x8|f16x8)`: 8},
	"conv_grad_weight":    {`bias_(f32x4|bf16x8|f16x8)`: 4, `conv_grad_weight_sum`: 8},
	"early_squeeze":       {`early_squeeze|few`: 16},
	"excitation":          {`gate`: 8},
	"excitation_grad":     {`hidden`: 32, `squeeze`: 8},
}

// TestLoadsAreUnderWayTogether looks for them in the machine code. Memory answers after hundreds of cycles, so what a loop
// reads in a second depends on what it has under way, and ptxas moves loads behind the use of what others bring where that
// saves registers. Its log does not tell, and another version may move others; the number of blocks in __launch_bounds__
// is what holds it back.
func TestLoadsAreUnderWayTogether(t *testing.T) {
	for module, kernels := range hot {
		for _, architecture := range []string{"sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"} {
			t.Run(module+"/"+architecture, func(t *testing.T) {
				t.Parallel()
				code := disassemble(t, unzip(t, architecture+"/"+module+".cubin"))
				for pattern, want := range kernels {
					names := regexp.MustCompile(`^` + module + `_(` + pattern + `)$|^(` + pattern + `)$`)
					matched := 0
					for name, lines := range code {
						if !names.MatchString(name) {
							continue
						}
						matched++
						if loads, rounds := widestLoop(lines); loads < want*max(rounds, 1) {
							t.Errorf("%s: %d loads in %d rounds, want %d in each", name, loads, rounds, want)
						}
					}
					if matched == 0 {
						t.Errorf("no kernel is called %s", pattern)
					}
				}
			})
		}
	}
}

// disassemble returns the lines of each kernel in machine code, labels and instructions.
func disassemble(t *testing.T, cubin []byte) map[string][]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cubin")
	if err := os.WriteFile(path, cubin, 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command("../../.deps/sass/nvdisasm", "--print-code", "--no-dataflow", path).Output()
	if err != nil {
		t.Fatalf("no disassembly; scripts/deps.sh sass installs what it takes: %v", err)
	}
	return codeOf(string(text))
}

var (
	section = regexp.MustCompile(`^\.text\.(\w+):`)
	comment = regexp.MustCompile(`/\*.*?\*/`)
)

func codeOf(text string) map[string][]string {
	code, name := map[string][]string{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(comment.ReplaceAllString(line, ""))
		if m := section.FindStringSubmatch(line); m != nil {
			name = m[1]
		} else if name != "" && line != "" {
			code[name] = append(code[name], line)
		}
	}
	return code
}

var (
	label    = regexp.MustCompile(`^(\.L_x_\d+):`)
	branch   = regexp.MustCompile("BRA.*`\\((\\.L_x_\\d+)\\)")
	load     = regexp.MustCompile(`^(?:@\S+ +)?LDG\.E(?:\.(64|128)|\.[A-Z]\w*)* +R(\d+),`) // its bits, where more than 32
	register = regexp.MustCompile(`\bR(\d+)\b`)
)

// widestLoop counts, for the loop with the most loads from global memory, the loads and the rounds in which they are issued.
// A loop is what lies between a label and a branch back to it, with no other label in between: it runs in the order in which
// it stands.
func widestLoop(lines []string) (loads, rounds int) {
	head, body := "", []string(nil)
	for _, line := range lines {
		if m := label.FindStringSubmatch(line); m != nil {
			head, body = m[1], nil
			continue
		}
		body = append(body, line)
		if m := branch.FindStringSubmatch(line); m != nil && m[1] == head {
			if l, r := countRounds(body); l > loads {
				loads, rounds = l, r
			}
		}
	}
	return loads, rounds
}

// countRounds counts the loads and their rounds: one ends at the first instruction that names a register which one of its
// loads fills, since that waits for memory.
func countRounds(body []string) (loads, rounds int) {
	filled := map[int]bool{} // by the loads of this round
	for _, line := range body {
		for _, m := range register.FindAllStringSubmatch(line, -1) {
			if filled[number(m[1])] {
				clear(filled)
			}
		}
		m := load.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		loads++
		if len(filled) == 0 {
			rounds++
		}
		registers := max(number(m[1])/32, 1)
		for i := range registers {
			filled[number(m[2])+i] = true
		}
	}
	return loads, rounds
}

// number is digits as an int, 0 for none.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

func TestLoadsAreCounted(t *testing.T) {
	const text = `
	.headerflags	@"EF_CUDA_SM90"
.text.sum_f32:
        /*0000*/                   LDG.E R9, [R2.64] ;
.L_x_0:
        /*0010*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/              @!P0 LDG.E.128.CONSTANT R12, [R2.64+0x10] ;
        /*0030*/                   FADD R8, R8, R7 ;
        /*0040*/                   LDG.E.64 R4, [R2.64+0x20] ;
        /*0050*/                   FADD R8, R8, R12 ;
        /*0060*/                   LDG.E.U16 R6, [R2.64+0x28] ;
        /*0070*/              @!P1 BRA ` + "`(.L_x_0)" + ` ;
.L_x_1:
        /*0080*/                   LDG.E R5, [R2.64] ;
        /*0090*/               @P2 BRA ` + "`(.L_x_2)" + ` ;
.L_x_2:
        /*00a0*/                   BRA ` + "`(.L_x_1)" + ` ;
.text.fill_f32:
        /*0000*/                   EXIT ;
`
	code := codeOf(text)
	if loads, rounds := widestLoop(code["sum_f32"]); loads != 4 || rounds != 2 {
		t.Errorf("%d loads in %d rounds, want 4 in 2", loads, rounds)
	}
	if loads, rounds := widestLoop(code["fill_f32"]); len(code) != 2 || loads != 0 || rounds != 0 {
		t.Errorf("%d loads in %d rounds of a kernel without a loop; code %q", loads, rounds, code)
	}
}
