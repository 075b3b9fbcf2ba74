package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const configs = "../../configs"

func TestEveryConfigLoads(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(configs, "*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("have %q, %v; want at least three configs", files, err)
	}
	for _, path := range files {
		cfg, err := Load(path, nil)
		if err != nil {
			t.Error(err)
		}
		if name := strings.TrimSuffix(filepath.Base(path), ".yaml"); name != "reference" && cfg.Output.Dir != "runs/"+name {
			t.Errorf("%s: output.dir %q, want one of its own, runs/%s", path, cfg.Output.Dir, name)
		}
		sets := []string{"train.epochs=1"} // the help's example
		if cfg.Train.WarmupEpochs > 1 {
			sets = append(sets, "train.warmup_epochs=1")
		}
		if _, err := Load(path, sets); err != nil {
			t.Error(err)
		}
	}
}

// TestReferenceIsComplete: every key is there, in order, with its default and a comment that
// says its meaning, what it may be and its default.
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(configs, "reference.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := parseYAML(text)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	var walk func(section string, n *yaml.Node)
	walk = func(section string, n *yaml.Node) {
		for i := 0; i < len(n.Content); i += 2 {
			path := join(section, n.Content[i].Value)
			paths = append(paths, path)
			if k, ok := settings.byPath[path]; ok {
				checkEntry(t, k, n.Content[i].HeadComment, n.Content[i+1])
			} else {
				walk(path, n.Content[i+1])
			}
		}
	}
	walk("", root)
	if !slices.Equal(paths, settings.paths) {
		t.Errorf("keys\n%q\nwant\n%q", paths, settings.paths)
	}
}

func checkEntry(t *testing.T, k key, comment string, value *yaml.Node) {
	t.Helper()
	have, ok := k.decode(value)
	if !ok || k.fallback != nil && !reflect.DeepEqual(have, k.fallback) {
		t.Errorf("%s: have %v, want the default %v", k.path, have, k.fallback)
	}
	last := "required"
	if k.fallback != nil {
		last = fmt.Sprintf("default %v", k.fallback)
		if k.typ.Kind() == reflect.Slice {
			last = strings.ReplaceAll(last, " ", ", ")
			last = strings.Replace(last, ", ", " ", 1) // after the word
		}
	}
	last = "# " + strings.ToUpper(k.want()[:1]) + k.want()[1:] + "; " + last + "."
	lines := strings.Split(comment, "\n")
	if len(lines) < 2 || lines[len(lines)-1] != last || len(lines[0]) < len("# word word.") {
		t.Errorf("%s: comment\n%s\nwant its meaning, then the line\n%s", k.path, comment, last)
	}
}

// TestTwinsDifferInSEAlone: the two runs are compared with each other.
func TestTwinsDifferInSEAlone(t *testing.T) {
	for _, run := range []string{"fashion-mnist", "fashion-mnist-long"} {
		se, err := Load(filepath.Join(configs, "seresnet20-"+run+".yaml"), nil)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Load(filepath.Join(configs, "resnet20-"+run+".yaml"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if se.Model.Name != "se"+plain.Model.Name {
			t.Errorf("%s: models %s and %s are no twins", run, se.Model.Name, plain.Model.Name)
		}
		plain.Model.Name, plain.Model.SE, plain.Output.Dir = se.Model.Name, se.Model.SE, se.Output.Dir
		if !reflect.DeepEqual(plain, se) {
			t.Errorf("%s: have %+v\nwant %+v", run, plain, se)
		}
	}
}
