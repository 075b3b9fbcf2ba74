package report

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// FormatBytes writes n in binary units: "1.50 MiB".
func FormatBytes(n int64) string {
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

// Thousands groups digits: 25,557,032.
func Thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// formatDuration rounds to what a reader can use: seconds, and tenths below ten seconds.
func formatDuration(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
