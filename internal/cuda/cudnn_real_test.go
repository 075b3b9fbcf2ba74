package cuda

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"senet/internal/kernels"
)

// gpu is what cuDNN's heuristics and engines ask of a device.
type gpu struct {
	name                                       string
	compute, sms, shared, threads, blocks      int // shared: bytes that a block can opt in to; threads and blocks of an SM
	clockMHz, memoryMHz, busBits, cacheMB, gib int
}

var gpus = []gpu{
	{"NVIDIA A100-SXM4-80GB", 800, 108, 166912, 2048, 32, 1410, 1593, 5120, 40, 80},
	{"NVIDIA A10", 860, 72, 101376, 1536, 16, 1695, 6251, 384, 6, 24},
	{"NVIDIA GeForce RTX 4090", 890, 128, 101376, 1536, 24, 2520, 10501, 384, 72, 24},
	{"NVIDIA H100 80GB HBM3", 900, 132, 232448, 2048, 32, 1980, 2619, 5120, 50, 80},
	{"NVIDIA B200", 1000, 148, 232448, 2048, 32, 1965, 3996, 8192, 126, 180},
	{"NVIDIA GeForce RTX 5090", 1200, 170, 101376, 1536, 24, 2407, 14001, 512, 96, 32},
}

func (g gpu) properties(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"deviceName": g.name, "cudaDeviceId": 0, "deviceVer": g.compute, "driverVer": 12090, "totalGlobalMem": int64(g.gib) << 30,
		"multiProcessorCount": g.sms, "smCountOrigin": 0, "warpSize": 32, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
		"maxGridSize": []int{1<<31 - 1, 65535, 65535}, "maxBlockSize": []int{1024, 1024, 64},
		"regsPerBlock": 65536, "maxRegistersPerSM": 65536, "maxCtasPerSM": g.blocks, "maxThreadsPerBlock": 1024, "maxThreadsPerSM": g.threads,
		"maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": g.shared, "reservedSharedMemoryPerBlock": 1024,
		"smClockRateKHz": g.clockMHz * 1000, "memClockRateKHz": g.memoryMHz * 1000, "memoryBusWidth": g.busBits, "l2CacheSize": g.cacheMB << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// resnet50 lists the distinct convolutions of ResNet-50 at 224 pixels, of ResNeXt-50's grouped ones the first two, and
// some of channels that are no multiple of a vector.
func resnet50(batch int) (usual, strange []convPattern) {
	add := func(list *[]convPattern, c, k, size, window, stride, groups int) {
		pad := window / 2
		out := (size+2*pad-window)/stride + 1
		p := convPattern{
			n: batch, c: c, h: size, w: size, k: k, r: window, s: window, p: out, q: out,
			stride: stride, pad: pad, groups: groups,
		}
		if !slices.Contains(*list, p) {
			*list = append(*list, p)
		}
	}
	add(&usual, 3, 64, 224, 7, 2, 1)
	in, size := 64, 56
	for stage, width := range []int{64, 128, 256, 512} {
		for block := range 2 {
			stride := 1
			if block == 0 && stage > 0 {
				stride = 2
			}
			add(&usual, in, width, size, 1, 1, 1)
			add(&usual, width, width, size, 3, stride, 1)
			if block == 0 {
				add(&usual, in, 4*width, size, 1, stride, 1)
			}
			size /= stride
			add(&usual, width, 4*width, size, 1, 1, 1)
			in = 4 * width
		}
	}
	add(&usual, 128, 128, 56, 3, 1, 32)
	add(&usual, 256, 256, 56, 3, 2, 32)
	add(&strange, 7, 5, 9, 3, 1, 1)
	add(&strange, 5, 7, 9, 3, 2, 1)
	add(&strange, 1, 1, 1, 1, 1, 1)
	add(&strange, 9, 12, 8, 3, 1, 3)
	add(&strange, 2048, 1000, 1, 1, 1, 1)
	return usual, strange
}

// use is a way to use a convolution.
type use struct {
	name   string
	change func(*convPattern)
	wanted need
}

// need is what cuDNN must be able to.
type need int

const (
	nothing need = iota
	common       // the convolutions of the networks
	all          // those of odd channels too, and engines with settings
)

func uses(precision kernels.Precision) []use {
	gate := common
	if precision == kernels.Float32 {
		gate = nothing // it has only those that multiply as TF32
	}
	list := []use{
		{"conv", func(*convPattern) {}, all},
		{"+ bias", func(p *convPattern) { p.bias = true }, all},
		{"+ bias, ReLU", func(p *convPattern) { p.bias, p.relu = true, true }, all},
		{"+ residual, bias", func(p *convPattern) { p.residual, p.bias = true, true }, all},
		{"+ residual, bias, ReLU", func(p *convPattern) { p.residual, p.bias, p.relu = true, true, true }, all},
		{"+ bias, gate, residual, ReLU", func(p *convPattern) {
			p.bias, p.gate, p.residual, p.relu, p.biasType = true, true, true, true, kernels.F32
		}, gate},
		{"grad input", func(p *convPattern) { p.kind = convGradInput }, all},
		{"grad weight", func(p *convPattern) { p.kind = convGradWeight }, all},
	}
	if precision.Map() != kernels.F32 {
		list = append(list,
			use{"grad weight, f32", func(p *convPattern) { p.kind, p.output = convGradWeight, kernels.F32 }, nothing},
			use{"+ f32 bias, ReLU", func(p *convPattern) { p.bias, p.relu, p.biasType = true, true, kernels.F32 }, nothing})
	}
	return list
}

// TestRealCuDNN asks the real library, for devices that need not be there, whether it has engines for every convolution
// of ResNet-50 in every precision, but for a gate in float32, and prints what it found. scripts/cuda/cudnn_check.sh runs it.
func TestRealCuDNN(t *testing.T) {
	if os.Getenv("SENET_CUDNN_CHECK") == "" {
		t.Skip("scripts/cuda/cudnn_check.sh runs it: it fetches cuDNN")
	}
	version, problem := CuDNN()
	if problem != "" {
		t.Fatal(problem)
	}
	fmt.Printf("cuDNN %s, batch 256; engines that finalise for each convolution\n\n", version)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "device\tprecision\tuse\tcan\tengines each\tcompiled\tMiB\tthe last one's first")
	for _, g := range gpus {
		c, err := openCuDNNAt(cudnnLibrary, 0, g.properties(t))
		if err != nil {
			t.Fatalf("%s: %v", g.name, err)
		}
		for _, precision := range []kernels.Precision{kernels.BFloat16, kernels.Float16, kernels.TF32, kernels.Float32} {
			for _, u := range uses(precision) {
				usual, strange := resnet50(256)
				if u.wanted == nothing {
					usual, strange = usual[1:5], nil
				}
				c.tabulate(t, table, g, precision, u, usual)
				if len(strange) > 0 {
					u.name += ", odd"
					if u.wanted < all {
						u.wanted = nothing
					}
					c.tabulate(t, table, g, precision, u, strange)
				}
			}
		}
		if err := table.Flush(); err != nil {
			t.Error(err)
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
}

// tabulate prints a line of the table.
func (c *cudnn) tabulate(t *testing.T, table *tabwriter.Writer, g gpu, precision kernels.Precision, u use, list []convPattern) {
	t.Helper()
	var found []int
	var workspace int64
	compiled, settings, name, m := 0, false, "-", precision.Map()
	for _, p := range list {
		p.input, p.weight, p.output, p.biasType, p.tf32 = m, m, m, m, precision == kernels.TF32
		u.change(&p)
		plans, jit := 0, false
		err := c.search(p, 1<<30, func(pl *convPlan) bool {
			if plans == 0 {
				jit, name, workspace = pl.compiled, pl.name(), max(workspace, pl.workspace())
			}
			settings = settings || len(pl.engine.Knobs) > 0
			plans++
			pl.destroy()
			return !pl.compiled // compiling takes a second
		})
		if err != nil {
			if u.wanted > nothing {
				t.Errorf("%s, %s: %v", g.name, precision, err)
			}
			continue
		}
		found = append(found, plans)
		if jit {
			compiled++
		}
	}
	if u.wanted == all && !settings {
		t.Errorf("%s, %s, %s: no engine has settings", g.name, precision, u.name)
	}
	engines := "-"
	if len(found) > 0 {
		engines = fmt.Sprintf("%d to %d", slices.Min(found), slices.Max(found))
	}
	fmt.Fprintf(table, "%s\t%s\t%s\t%d of %d\t%s\t%d\t%d\t%s\n", strings.TrimPrefix(g.name, "NVIDIA "), precision, u.name,
		len(found), len(list), engines, compiled, workspace>>20, name)
}
