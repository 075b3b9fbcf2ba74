package cpu

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// room is how many bytes the process may still take, of how many in all: what Linux can give without swapping, within the
// limits of the control groups that the process is in. root is the file system's.
func room(root fs.FS) (free, total int64, err error) {
	info, err := table(root, "proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	free, total = info["MemAvailable:"]<<10, info["MemTotal:"]<<10 // given in KiB
	if free == 0 {
		return 0, 0, errors.New("/proc/meminfo does not tell the available memory")
	}
	for _, g := range groups(root) {
		limit, used, ok := g.read(root)
		if ok && limit < total {
			free, total = min(free, max(limit-used, 0)), limit
		}
	}
	return free, total, nil
}

// group is a folder of a control group with the names that its version gives to the files.
type group struct{ dir, limit, used, reclaimable string }

// groups are those of the process and all above them, of either version of control groups. Within a container the
// folders of those above may be missing.
func groups(root fs.FS) []group {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil // a kernel without
	}
	var all []group
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path
		if len(parts) < 3 {
			continue
		}
		g := group{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"}
		if parts[1] == "memory" {
			g = group{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}
		} else if parts[1] != "" {
			continue
		}
		for at := path.Clean("/" + parts[2]); ; at = path.Dir(at) {
			all = append(all, group{path.Join(g.dir, at), g.limit, g.used, g.reclaimable})
			if at == "/" {
				break
			}
		}
	}
	return all
}

// read is the group's limit and what it uses beside files that Linux can drop; false if it has no limit.
func (g group) read(root fs.FS) (limit, used int64, ok bool) {
	limit, ok = number(root, path.Join(g.dir, g.limit))
	if !ok {
		return 0, 0, false
	}
	used, ok = number(root, path.Join(g.dir, g.used))
	stat, _ := table(root, path.Join(g.dir, "memory.stat")) // without it, files count as used
	return limit, used - stat[g.reclaimable], ok
}

// number reads a file that holds one; "max" is none.
func number(root fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// table reads lines of a name and a number; what follows the number is left out.
func table(root fs.FS, name string) (map[string]int64, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	t := map[string]int64{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var key string
		var n int64
		if _, err := fmt.Sscan(lines.Text(), &key, &n); err == nil {
			t[key] = n
		}
	}
	return t, errors.Join(lines.Err(), f.Close())
}
