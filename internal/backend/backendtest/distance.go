package backendtest

import (
	"fmt"
	"math"
	"strings"

	"senet/internal/graph"
)

// agreement compares two runs of a network, value by value.
type agreement func(have, want []snapshot) []error

// agree is how networks are compared on a backend with these options.
func (o Options) agree(have, want []snapshot) []error {
	if o.Network == 0 {
		return differences(have, want, o.Tolerance)
	}
	return distances(have, want, o.Network)
}

// distances compares the values of each step together, by kind: all momenta, which after the first step are the gradient, with sums of gradients,
// all parameters, all states, all outputs. The Euclidean length of the difference may be limit of that of want. Counts are left out.
func distances(have, want []snapshot, limit float64) []error {
	if len(have) != len(want) {
		return []error{fmt.Errorf("%d values, want %d", len(have), len(want))}
	}
	type sums struct{ off, length float64 }
	of := map[string]*sums{}
	var order []string
	for i, h := range have {
		k := kind(h.v)
		if h.v.DType != graph.Float32 || k == momenta && h.when != have[0].when {
			continue
		}
		key := h.when + ", " + k
		s := of[key]
		if s == nil {
			s = &sums{}
			of[key], order = s, append(order, key)
		}
		for j, w := range want[i].data {
			s.off += (h.data[j] - w) * (h.data[j] - w)
			s.length += w * w
		}
	}
	var errs []error
	for _, key := range order {
		if d := math.Sqrt(of[key].off / of[key].length); !(d <= limit) {
			errs = append(errs, fmt.Errorf("%s: off by %.3g of its length, want at most %.3g", key, d, limit))
		}
	}
	return errs
}

const momenta = "momenta"

// kind groups the values of a network.
func kind(v *graph.Value) string {
	switch {
	case v.Role == graph.Param:
		return "parameters"
	case strings.HasSuffix(v.Name, ".momentum"), strings.HasSuffix(v.Name, ".grad_sum"):
		return momenta
	case v.Role == graph.State:
		return "statistics"
	}
	return v.Name
}
