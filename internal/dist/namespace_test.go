package dist

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

func init() { scenarios["remote"] = remoteScenario }

// remoteScenario gathers, and then waits for the end of another rank.
func remoteScenario(r *rank) int {
	g, err := meet(context.Background(), r.World, quickPace)
	if err != nil {
		return r.fail("%v", err)
	}
	for round := range 3 {
		all, err := g.Gather(message(r.Rank + round))
		if err != nil {
			return r.fail("%v", err)
		}
		for rank, have := range all {
			if !bytes.Equal(have, message(rank+round)) {
				return r.fail("%d bytes of rank %d", len(have), rank)
			}
		}
	}
	fmt.Println("ready")
	err = <-Lost(g)
	fmt.Println("told:", err)
	if !errors.Is(err, ErrLost) {
		return r.fail("%v", err)
	}
	return 0
}

// hosts are network namespaces on one bridge, which stand for machines.
type hosts struct {
	t     *testing.T
	names []string
}

// ip runs a command of iproute2.
func (h *hosts) ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// newHosts makes n hosts, of which number i is 10.77.0.i+1, with a switch between them that is a namespace too.
func newHosts(t *testing.T, n int) *hosts {
	t.Helper()
	h := &hosts{t: t}
	middle := fmt.Sprintf("senet-%d-switch", os.Getpid())
	if err := h.ip("netns", "add", middle); err != nil {
		t.Skip("this system allows no network namespaces: ", err)
	}
	h.names = append(h.names, middle)
	t.Cleanup(func() {
		for _, name := range h.names {
			if err := h.ip("netns", "delete", name); err != nil {
				t.Error(err)
			}
		}
	})
	commands := [][]string{{"-n", middle, "link", "add", "bridge", "type", "bridge"}, {"-n", middle, "link", "set", "bridge", "up"}}
	for i := range n {
		name, port := h.name(i), fmt.Sprint("port", i)
		if err := h.ip("netns", "add", name); err != nil {
			t.Fatal(err)
		}
		h.names = append(h.names, name)
		commands = append(
			commands,
			[]string{"-n", middle, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name},
			[]string{"-n", middle, "link", "set", port, "master", "bridge", "up"},
			[]string{"-n", name, "link", "set", "lo", "up"},
			[]string{"-n", name, "address", "add", h.address(i) + "/24", "dev", "eth0"},
			[]string{"-n", name, "link", "set", "eth0", "up"},
		)
	}
	for _, c := range commands {
		if err := h.ip(c...); err != nil {
			t.Skip("this system allows no bridge between network namespaces: ", err)
		}
	}
	return h
}

func (h *hosts) name(i int) string    { return fmt.Sprintf("senet-%d-%d", os.Getpid(), i) }
func (h *hosts) address(i int) string { return fmt.Sprintf("10.77.0.%d", i+1) }

// unplug pulls the cable of a host: nothing tells the others.
func (h *hosts) unplug(i int) {
	h.t.Helper()
	if err := h.ip("-n", h.name(i), "link", "set", "eth0", "down"); err != nil {
		h.t.Fatal(err)
	}
}

// start runs rank i of n on a host of its own.
func (h *hosts) start(ctx context.Context, i, n int, out io.Writer) *exec.Cmd {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", h.name(i), self)
	cmd.Env = append(
		os.Environ(), scenarioVariable+"=remote", fmt.Sprint("RANK=", i), fmt.Sprint("WORLD_SIZE=", n), "MASTER_ADDR="+h.address(0), "MASTER_PORT=29500",
	)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	return cmd
}

// TestTCPAcrossHosts: ranks on hosts of their own meet whichever comes first, and all notice when the cable of one is pulled.
func TestTCPAcrossHosts(t *testing.T) {
	t.Parallel()
	const n = 3
	for _, gone := range []int{0, 1} {
		t.Run(fmt.Sprint("without ", gone), func(t *testing.T) {
			h := newHosts(t, n)
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			var outs [n]bytes.Buffer
			var cmds [n]*exec.Cmd
			ready := make(chan bool, n)
			for i := n - 1; i >= 0; i-- {
				cmds[i] = h.start(ctx, i, n, &locked{mu: new(sync.Mutex), w: &notices{&outs[i], "ready", 1, func() { ready <- true }}})
				time.Sleep(100 * time.Millisecond) // rank 0 comes last
			}
			for range n {
				select {
				case <-ready:
				case <-ctx.Done():
					t.Error("the ranks do not meet")
				}
			}
			h.unplug(gone)
			start := time.Now()
			for i, cmd := range cmds {
				if err := cmd.Wait(); err != nil {
					t.Errorf("rank %d: %v", i, err)
				}
			}
			t.Logf("after %s", time.Since(start))
			want := "told: lost a rank: rank 0 on 10.77.0.1: no sign of life for 2s"
			if gone == 1 {
				host, _ := os.Hostname()
				want = "told: lost a rank: rank 1 on " + host + ": no sign of life for 2s"
			}
			for i := range outs {
				if out := outs[i].String(); i != gone && !strings.Contains(out, want) || strings.Contains(out, "FAIL") {
					t.Errorf("rank %d: want %q in\n%s", i, want, out)
				}
			}
		})
	}
}
