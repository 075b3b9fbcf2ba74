package nvml

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fake builds a library that stands for both CUDA and NVML.
func fake(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fake.so")
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", path, filepath.Join("testdata", "fake.c")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestUsageIsThatOfTheGPUThatCUDAMeans(t *testing.T) {
	path := fake(t)
	for index, want := range []Usage{{97, 23 << 30}, {3, 1 << 30}} {
		d, err := openIn(path, path, index)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if have, err := d.Usage(); err != nil || have != want {
				t.Errorf("GPU %d: %+v, error %v, want %+v", index, have, err, want)
			}
		}
	}
	d, err := openIn(path, path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := d.Usage(); err == nil || !strings.Contains(err.Error(), "status 3") {
		t.Errorf("%+v, error %v, want status 3", have, err)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	path := fake(t)
	for _, c := range []struct {
		nvml, cuda string
		index      int
		want       string
	}{
		{path, path, 2, "GPU 2: no such GPU"},
		{path, "libnone.so.1", 0, "no CUDA driver"},
		{"libnone.so.1", path, 0, "no NVML"},
		{"libm.so.6", path, 0, "no NVML"},
	} {
		if _, err := openIn(c.nvml, c.cuda, c.index); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
}
