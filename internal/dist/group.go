package dist

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Group carries small messages between the ranks of a job: digests, flags, NCCL's identifier. Every rank makes the same calls in
// the same order. One goroutine at a time may use it.
type Group interface {
	// Rank is this process's, from 0 on.
	Rank() int
	// Size is the number of ranks.
	Size() int
	// Gather returns the message of every rank, by rank, to all of them; it may have 1 MiB. An error that wraps ErrLost names the
	// rank that is gone.
	Gather(mine []byte) ([][]byte, error)
	// Close leaves the group, at the same point on every rank. A rank that has failed need not: the others then learn that it is gone.
	Close() error
}

// Join waits until all ranks of w are there, or ctx ends: over TCP with rank 0 at w.Master, or over MPI where there is no Master. A
// process alone is a group of one. Ranks whose gradients are in host memory are joined by OpenMPI instead.
func Join(ctx context.Context, w World) (Group, error) {
	switch {
	case w.Size <= 1:
		return alone{}, nil
	case w.Master == "":
		return OpenMPI(ctx, w)
	}
	return meet(ctx, w, usualPace)
}

// Lost delivers the error that tells of a rank that is gone, also between calls of g; it is nil where the group cannot tell, as one
// over MPI, whose launcher ends the ranks.
func Lost(g Group) <-chan error {
	if s, ok := g.(*star); ok {
		return s.lost
	}
	return nil
}

// alone is the group of a process without others.
type alone struct{}

func (alone) Rank() int                            { return 0 }
func (alone) Size() int                            { return 1 }
func (alone) Gather(mine []byte) ([][]byte, error) { return [][]byte{slices.Clone(mine)}, nil }
func (alone) Close() error                         { return nil }

// claims is what a rank sends to Agree.
type claims struct {
	Host  string
	Facts map[string]string
}

// Agree compares facts, by name, on all ranks. Where one differs the error, the same on every rank, wraps ErrDisagree and names the
// odd rank, its host, the fact and both values.
func Agree(g Group, facts map[string]string) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name of this host: %w", err)
	}
	mine, err := json.Marshal(claims{host, facts})
	if err != nil {
		return err
	}
	messages, err := g.Gather(mine)
	if err != nil {
		return err
	}
	all := make([]claims, len(messages))
	names := map[string]bool{}
	for rank, m := range messages {
		if err := json.Unmarshal(m, &all[rank]); err != nil {
			return fmt.Errorf("what rank %d claims: %w", rank, err)
		}
		for name := range all[rank].Facts {
			names[name] = true
		}
	}
	var odd []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if line := compare(all, name); line != "" {
			odd = append(odd, line)
		}
	}
	if len(odd) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrDisagree, strings.Join(odd, "\n"))
}

// compare says which rank claims another value than most, or than the first of those that are as many.
func compare(all []claims, name string) string {
	value := func(c claims) string {
		if v, ok := c.Facts[name]; ok {
			return fmt.Sprintf("%q", v)
		}
		return "nothing"
	}
	count := map[string]int{}
	for _, c := range all {
		count[value(c)]++
	}
	usual := 0
	for rank, c := range all {
		if count[value(c)] > count[value(all[usual])] {
			usual = rank
		}
	}
	for rank, c := range all {
		if value(c) != value(all[usual]) {
			return fmt.Sprintf("rank %d on %s has %s %s, rank %d on %s has %s",
				rank, c.Host, name, value(c), usual, all[usual].Host, value(all[usual]))
		}
	}
	return ""
}
