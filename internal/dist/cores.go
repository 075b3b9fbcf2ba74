package dist

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// share is how many threads each of so many ranks has, of those that the container's limits allow.
func share(ranks int) int { return max(1, runtime.GOMAXPROCS(0)/ranks) }

// coresOf lists the logical processors of each rank, as taskset reads them: neighbours, so that a rank has whole cores and few packages.
// It is nil where ranks are not to be bound: where there are more of them than processors, and where a quota limits this
// container to less than the processors that it sees, which others then use as well.
func coresOf(ranks int) []string {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil || set.Count() < ranks || set.Count() > runtime.GOMAXPROCS(0) {
		return nil
	}
	type processor struct{ number, core, physical int }
	var all []processor
	for i := 0; len(all) < set.Count(); i++ {
		if set.IsSet(i) {
			all = append(all, processor{i, topology(i, "core_id"), topology(i, "physical_package_id")})
		}
	}
	slices.SortStableFunc(all, func(a, b processor) int {
		return cmp.Or(cmp.Compare(a.physical, b.physical), cmp.Compare(a.core, b.core))
	})
	lists := make([]string, ranks)
	each := len(all) / ranks
	for rank := range lists {
		var numbers []string
		for _, p := range all[rank*each : (rank+1)*each] {
			numbers = append(numbers, strconv.Itoa(p.number))
		}
		lists[rank] = strings.Join(numbers, ",")
	}
	return lists
}

// topology is what Linux tells of a logical processor, or 0.
func topology(processor int, what string) int {
	text, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/%s", processor, what))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return n
}
