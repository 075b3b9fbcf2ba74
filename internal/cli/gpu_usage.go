package cli

import (
	"strings"
	"time"

	"senet/internal/backend"
	"senet/internal/nvml"
	"senet/internal/report"
)

// gpuUsage looks at the GPU that b computes on, at most once a second. It is nil where b is no GPU or the driver does not tell.
func gpuUsage(b backend.Backend, now func() time.Time) func() report.GPU {
	if !strings.HasPrefix(b.Name(), "cuda:") {
		return nil
	}
	d, err := nvml.Open(deviceIndex(b.Name()))
	if err != nil {
		return nil
	}
	var last report.GPU
	var seen time.Time
	return func() report.GPU {
		if t := now(); t.Sub(seen) >= time.Second {
			u, err := d.Usage()
			if err != nil {
				u = nvml.Usage{}
			}
			last, seen = report.GPU(u), t
		}
		return last
	}
}
