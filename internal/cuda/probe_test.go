package cuda

import "testing"

// TestProbe: whatever the machine has, the probe answers, and a machine without a usable device says why.
func TestProbe(t *testing.T) {
	d := Probe()
	if len(d.Devices) == 0 && d.Problem == "" {
		t.Error("no device and no problem named")
	}
	if len(d.Devices) > 0 && (d.Problem != "" || d.Devices[0].Name == "") {
		t.Errorf("devices found, yet %+v", d)
	}
	if !d.Found && (d.Version != "" || len(d.Devices) > 0) {
		t.Errorf("no driver, yet %+v", d)
	}
}
