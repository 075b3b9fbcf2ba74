package config

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
)

// free are the keys that do not change what is trained.
var free = []string{
	"device", "threads", "data.index_dir", "data.workers", "train.watchdog", "eval.batch_size",
	"output.dir", "output.keep_checkpoints", "output.keep_every", "output.tensorboard", "output.metrics_port",
}

// another is a value that differs from v.
func another(t *testing.T, v reflect.Value) reflect.Value {
	t.Helper()
	n := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Bool:
		n.SetBool(!v.Bool())
	case reflect.Int:
		n.SetInt(v.Int() + 1)
	case reflect.Uint64:
		n.SetUint(v.Uint() + 1)
	case reflect.Float64:
		n.SetFloat(v.Float() + 0.5)
	case reflect.String:
		n.SetString(v.String() + "x")
	case reflect.Slice:
		n = reflect.Append(reflect.AppendSlice(n, v), v.Index(0))
	default:
		t.Fatalf("no other value of kind %s", v.Kind())
	}
	return n
}

// TestEveryKeyButTheFreeOnesIsAChange also holds for keys yet to come: one that is not listed above must be a change.
func TestEveryKeyButTheFreeOnesIsAChange(t *testing.T) {
	was := parse(t, minimal)
	if ds := parse(t, minimal).Changed(was); len(ds) != 0 {
		t.Errorf("equal configs differ: %v", ds)
	}
	listed := 0
	for _, k := range settings.keys {
		c := parse(t, minimal)
		v := reflect.ValueOf(&c).Elem().FieldByIndex(k.field)
		v.Set(another(t, v))
		var want []Difference
		if slices.Contains(free, k.path) {
			listed++
		} else {
			want = []Difference{{k.path, was.value(k.path), c.value(k.path)}}
		}
		if ds := c.Changed(was); !reflect.DeepEqual(ds, want) {
			t.Errorf("%s: have %v, want %v", k.path, ds, want)
		}
	}
	if listed != len(free) {
		t.Errorf("%d of the free keys %q are keys", listed, free)
	}
}

func TestChangesReadAsLines(t *testing.T) {
	ds := parse(t, minimal, "train.lr=0.2", "model.se.stages=[1, 2]", "threads=3").Changed(parse(t, minimal))
	if want := "[model.se.stages: was [1 2 3 4], is [1 2] train.lr: was 0.1, is 0.2]"; fmt.Sprint(ds) != want {
		t.Errorf("have %v, want %s", ds, want)
	}
}

func TestFixedAreTheKeysThatAreCompared(t *testing.T) {
	fixed := parse(t, minimal, "train.lr=0.25", "data.mean=[0.5]").Fixed()
	if len(fixed) != len(settings.keys)-len(free) || fixed["train.lr"] != "0.25" || fixed["data.mean"] != "[0.5]" {
		t.Errorf("have %v", fixed)
	}
	for _, key := range free {
		if value, ok := fixed[key]; ok {
			t.Errorf("%s is fixed at %s", key, value)
		}
	}
}
