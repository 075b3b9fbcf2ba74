package dist

import (
	"runtime"
	"strings"
	"testing"
)

// TestCoresOf: each rank has as many processors as the others, and none has one of another's.
func TestCoresOf(t *testing.T) {
	n := runtime.NumCPU()
	if have := runtime.GOMAXPROCS(0); have < n {
		t.Skipf("GOMAXPROCS is %d, of %d processors", have, n)
	}
	for ranks := 1; ranks <= n; ranks++ {
		lists := coresOf(ranks)
		seen := map[string]bool{}
		for _, list := range lists {
			for number := range strings.SplitSeq(list, ",") {
				seen[number] = true
			}
		}
		if len(lists) != ranks || len(seen) != n/ranks*ranks {
			t.Errorf("%d ranks on %d processors: %q", ranks, n, lists)
		}
		if share(ranks) != n/ranks {
			t.Errorf("%d ranks: %d threads each", ranks, share(ranks))
		}
	}
	if lists := coresOf(n + 1); lists != nil || share(n+1) != 1 {
		t.Errorf("%d ranks on %d processors: %q", n+1, n, lists)
	}
}
