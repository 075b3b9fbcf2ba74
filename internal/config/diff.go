package config

import (
	"fmt"
	"reflect"
)

// Difference is a key that has another value in each of two configs.
type Difference struct {
	Key     string // e.g. "train.lr"
	Was, Is any
}

// String is the difference as a line for the user.
func (d Difference) String() string { return fmt.Sprintf("%s: was %v, is %v", d.Key, d.Was, d.Is) }

// Changed lists the keys by which a run with config c does not go on as one with config was began, in the order of the
// reference file. Keys that say where to compute, how fast or what to leave behind are not among them.
func (c Config) Changed(was Config) []Difference {
	var ds []Difference
	for _, k := range settings.keys {
		if x, y := was.value(k.path), c.value(k.path); !k.free && !reflect.DeepEqual(x, y) {
			ds = append(ds, Difference{k.path, x, y})
		}
	}
	return ds
}

// Fixed are the values, by key, of the keys that [Config.Changed] compares: by them two processes train the same.
func (c Config) Fixed() map[string]string {
	fixed := map[string]string{}
	for _, k := range settings.keys {
		if !k.free {
			fixed[k.path] = fmt.Sprint(c.value(k.path))
		}
	}
	return fixed
}
