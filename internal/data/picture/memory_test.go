//go:build !asan

package picture

import "testing"

// TestDecodingReusesItsMemory: a loader decodes millions of pictures.
func TestDecodingReusesItsMemory(t *testing.T) {
	b := waves(t, 500, 375)
	v := EvalView(500, 375, 224, 0.875, false)
	pixels := make([]uint8, 224*224*3)
	var d Decoder
	if n := testing.AllocsPerRun(10, func() {
		if err := d.Decode(b, v, 3, pixels); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%g allocations a picture", n)
	}
}
