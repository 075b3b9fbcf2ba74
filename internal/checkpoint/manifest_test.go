package checkpoint

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestManifestKeepsFloatsBitByBit(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := []float64{0, math.Copysign(0, -1), 0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53, 1e21, 1e-7}
	for len(values) < 2000 {
		if x := math.Float64frombits(rng.Uint64()); isFinite(x) {
			values = append(values, x)
		}
	}
	for _, x := range values {
		m := stateAt(1).Manifest
		m.Format, m.Sums.Loss, m.Best.Score.Top1 = format, x, x
		text, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeManifest(text)
		if err != nil {
			t.Fatal(err)
		}
		if math.Float64bits(got.Sums.Loss) != math.Float64bits(x) || math.Float64bits(got.Best.Score.Top1) != math.Float64bits(x) {
			t.Fatalf("%x came back as %x and %x", x, got.Sums.Loss, got.Best.Score.Top1)
		}
		if !reflect.DeepEqual(got, m) {
			t.Fatalf("read\n%+v, want\n%+v", got, m)
		}
	}
}

func TestManifestIsPlainJSON(t *testing.T) {
	text, err := stateAt(1).Manifest.encode()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got["model"] != "seresnet20" || len(got["sha256"].(string)) != 64 {
		t.Errorf("manifest is %s", text)
	}
	if !bytes.Contains(text, []byte("# <&>")) {
		t.Errorf("the config is not legible in %s", text)
	}
}

// sealed is a manifest made of body's fields, after edit.
func sealed(t testing.TB, edit func(text string) string) []byte {
	t.Helper()
	m := stateAt(1).Manifest
	m.Format = format
	text, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	body, _, ok := strings.Cut(string(text), sealHead)
	if !ok {
		t.Fatal("no seal")
	}
	return seal([]byte(edit(body)))
}

func TestWrongManifestsAreRefused(t *testing.T) {
	replace := func(old, new string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, old) {
				t.Fatalf("no %q in %s", old, text)
			}
			return strings.Replace(text, old, new, 1)
		}
	}
	if _, err := decodeManifest(sealed(t, func(s string) string { return s })); err != nil {
		t.Fatalf("the manifest that the others are variants of: %v", err)
	}
	for name, tt := range map[string]struct {
		text []byte
		says string
	}{
		"empty":               {nil, "0 bytes"},
		"unsealed":            {[]byte("{" + strings.Repeat(" ", 200) + "}"), "sha256"},
		"edited":              {bytes.Replace(sealed(t, func(s string) string { return s }), []byte("seresnet20"), []byte("seresnet56"), 1), "sha256"},
		"other format":        {sealed(t, replace(`"format": 1`, `"format": 2, "new": 1`)), "format 2"},
		"unknown field":       {sealed(t, replace(`"batch"`, `"bach"`)), "bach"},
		"unknown inner field": {sealed(t, replace(`"images"`, `"pictures"`)), "pictures"},
		"two objects":         {sealed(t, func(s string) string { return s + "}{" }), "after top-level value"},
		"negative epoch":      {sealed(t, replace(`"epoch": 1`, `"epoch": -1`)), "epoch"},
		"fractional step":     {sealed(t, replace(`"global_step": 1`, `"global_step": 1.5`)), "global_step"},
		"float overflow":      {sealed(t, replace(`"loss": 0.1`, `"loss": 1e999`)), "loss"},
		"no model":            {sealed(t, replace(`"seresnet20"`, `""`)), "model"},
	} {
		if _, err := decodeManifest(tt.text); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want %q", name, err, tt.says)
		}
	}
}

func TestManifestsThatCannotBeSavedAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*State)
		says  string
	}{
		"no date":           {func(s *State) { s.Manifest.Created = time.Time{} }, "created"},
		"no model name":     {func(s *State) { s.Manifest.Model = "" }, "model"},
		"no tensors":        {func(s *State) { s.Model = nil }, "no tensors"},
		"NaN sum":           {func(s *State) { s.Manifest.Sums.Loss = math.NaN() }, "sums.loss"},
		"infinite score":    {func(s *State) { s.Manifest.Val.Loss = math.Inf(1) }, "val"},
		"NaN best":          {func(s *State) { s.Manifest.Best.Score.Top5 = math.NaN() }, "best"},
		"negative batch":    {func(s *State) { s.Manifest.Batch = -1 }, "batch"},
		"negative in a row": {func(s *State) { s.Manifest.BadInARow = -1 }, "bad_in_a_row"},
		"NaN scale":         {func(s *State) { s.Manifest.LossScale.Factor = math.NaN() }, "loss_scale"},
		"scale of 0":        {func(s *State) { s.Manifest.LossScale.Factor = 0 }, "loss_scale"},
		"negative row":      {func(s *State) { s.Manifest.LossScale.GoodSteps = -1 }, "loss_scale"},
		"not UTF-8":         {func(s *State) { s.Manifest.Classes[1] = "\xff" }, "UTF-8"},
		"huge config":       {func(s *State) { s.Manifest.Config = strings.Repeat("x", maxManifest) }, manifestFile},
		"NaN weight":        {func(s *State) { s.Model["bn1.weight"].Float32s()[2] = float32(math.NaN()) }, `tensor "bn1.weight": element 2`},
	} {
		dir := t.TempDir()
		store := mustOpen(t, disk{}, dir, Keep{Newest: 1})
		before := mustSave(t, store, 1, SaveAs{})
		s := stateAt(2)
		tt.spoil(&s)
		path, err := store.Save(s, SaveAs{Best: true})
		if err == nil || path != "" || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: path %q, error %v, want %q", name, path, err, tt.says)
		}
		if found, err := Newest(dir); err != nil || found.Path != before || len(strangers(t, dir)) > 0 {
			t.Errorf("%s: newest is %s (%v), folder has %q", name, found.Path, err, names(t, dir))
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(strings.TrimSuffix(string(sealed(f, func(s string) string { return s })), sealTail)))
	f.Add(sealed(f, func(s string) string { return s }))
	f.Add([]byte(`{"format":1,"model":"x","created":"2024-01-02T03:04:05+06:00"`))
	f.Add([]byte(`{"format":1,"model":"0","created":"0000-01-01T0:00:00+24:00"`)) // once read, but not to be written
	f.Add([]byte(`{"format":1,"epoch":1e3}{`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := decodeManifest(body); err == nil {
			return // its seal is right: one of the seeds
		}
		m, err := decodeManifest(seal(body))
		if err != nil {
			return
		}
		text, err := m.encode()
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		again, err := decodeManifest(text)
		if err != nil {
			t.Fatalf("written but not read: %v", err)
		}
		if !again.Created.Equal(m.Created) {
			t.Fatal("the date changed")
		}
		again.Created = m.Created
		if !reflect.DeepEqual(again, m) {
			t.Fatalf("read\n%+v, want\n%+v", again, m)
		}
	})
}
