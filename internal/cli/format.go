package cli

import (
	"fmt"
	"strconv"
)

// formatBytes writes n in binary units with three digits or so: "1.50 MiB".
func formatBytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	x, prefix := float64(n)/unit, 0
	for x >= unit && prefix < 3 {
		x /= unit
		prefix++
	}
	return fmt.Sprintf("%.2f %ciB", x, "KMGT"[prefix])
}

// thousands groups digits: 25,557,032.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
