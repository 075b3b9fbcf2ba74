package cpu

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"senet/internal/backend"
	"senet/internal/graph"
)

func TestRoomIsWithinTheLimitsOfControlGroups(t *testing.T) {
	const mem = "MemTotal:       1000 kB\nMemFree:        100 kB\nMemAvailable:    600 kB\nHugePages_Total:       0\n"
	for _, c := range []struct {
		name        string
		files       map[string]string
		free, total int64
	}{
		{"none", nil, 600 << 10, 1000 << 10},
		{"no limit", map[string]string{
			"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/a/memory.current": "5\n",
		}, 600 << 10, 1000 << 10},
		{"its own, less files", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "300000\n", "sys/fs/cgroup/a/b/memory.current": "200000\n",
			"sys/fs/cgroup/a/b/memory.stat": "anon 7\ninactive_file 50000\n",
		}, 150000, 300000},
		{"one above", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "300000\n", "sys/fs/cgroup/a/b/memory.current": "1000\n",
			"sys/fs/cgroup/a/memory.max": "250000\n", "sys/fs/cgroup/a/memory.current": "249000\n",
		}, 1000, 250000},
		{"over the limit", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "2000\n",
		}, 0, 1000},
		{"seen from a container", map[string]string{
			"proc/self/cgroup": "0::/host/x\n", "sys/fs/cgroup/memory.max": "400000\n", "sys/fs/cgroup/memory.current": "100000\n",
		}, 300000, 400000},
		{"version 1", map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x\n0::/x\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes":       "500000\n",
			"sys/fs/cgroup/memory/x/memory.usage_in_bytes":       "120000\n",
			"sys/fs/cgroup/memory/x/memory.stat":                 "inactive_file 1\ntotal_inactive_file 20000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":         "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes":         "700000\n",
			"sys/fs/cgroup/memory/x/memory.kmem.limit_in_bytes":  "1\n",
			"sys/fs/cgroup/cpu,cpuacct/x/memory.limit_in_bytes":  "1\n",
			"sys/fs/cgroup/cpu,cpuacct/x/memory.usage_in_bytes":  "1\n",
			"sys/fs/cgroup/unified/x/memory.high_is_not_a_limit": "1\n",
		}, 400000, 500000},
	} {
		root := fstest.MapFS{"proc/meminfo": {Data: []byte(mem)}}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		free, total, err := room(root)
		if err != nil || free != c.free || total != c.total {
			t.Errorf("%s: %d of %d bytes, %v; want %d of %d", c.name, free, total, err, c.free, c.total)
		}
	}
	if free, total, err := room(os.DirFS("/")); err != nil || free < 1<<20 || free > total {
		t.Errorf("here: %d of %d bytes, %v", free, total, err)
	}
	if _, _, err := room(fstest.MapFS{}); err == nil {
		t.Error("a system that tells nothing has room")
	}
}

// TestProgramWithoutRoomIsRefusedBeforeItIsAllocated asks for a petabyte.
func TestProgramWithoutRoomIsRefusedBeforeItIsAllocated(t *testing.T) {
	b, err := New(Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	g := graph.New()
	x := g.ReLU("big", g.Param("weight", graph.Shape{1 << 10, 1 << 10, 1 << 14, 1 << 14}, graph.Init{}))
	p := &graph.Program{Values: g.Values, Logits: x}
	p.Phases[graph.Step] = g.Nodes
	_, err = b.Compile(p)
	var full *backend.OutOfMemory
	if !errors.As(err, &full) {
		t.Fatalf("error %v, want an OutOfMemory", err)
	}
	const petabyte = 1 << 50
	if full.Asked < 2*petabyte || full.Free < 1 || full.Total < full.Free || full.Planned.Persistent != petabyte || len(full.Largest) != 2 {
		t.Errorf("have %+v", full)
	}
	for _, want := range []string{"cpu: out of memory: 2147483648.0 MiB asked for", "planned: ", "largest buffers: weight (1024, 1024, 16384, 16384) 1073741824.0 MiB, big"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
}
