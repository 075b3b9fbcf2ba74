package arch_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed lists what each package of ours may import of ours; their tests may import more.
var allowed = map[string][]string{
	"internal/arch":                {},
	"internal/graph":               {},
	"internal/model":               {"internal/graph"},
	"internal/config":              {},
	"internal/data":                {"internal/data/augment", "internal/data/picture"},
	"internal/data/augment":        {},
	"internal/data/picture":        {},
	"internal/checkpoint":          {},
	"internal/report":              {},
	"internal/metrics":             {"internal/report"},
	"internal/nvml":                {},
	"internal/kernels":             {"internal/graph"},
	"internal/bench":               {"internal/backend", "internal/graph", "internal/model"},
	"internal/bench/ranks":         {"internal/backend", "internal/bench", "internal/cpu", "internal/dist", "internal/model"},
	"internal/onnx":                {"internal/graph"},
	"internal/weights":             {"internal/graph", "internal/model"},
	"internal/backend":             {"internal/graph"},
	"internal/backend/backendtest": {"internal/backend", "internal/graph", "internal/model", "internal/ref"},
	"internal/ref":                 {"internal/backend", "internal/graph"},
	"internal/cpu":                 {"internal/backend", "internal/graph"},
	"internal/cuda":                {"internal/backend", "internal/graph", "internal/kernels"},
	"internal/cuda/emu":            {},
	"internal/dist":                {"internal/backend"},
	"internal/kernels/compile":     {},
	"internal/train": {
		"internal/backend", "internal/checkpoint", "internal/config", "internal/data", "internal/data/augment", "internal/dist", "internal/graph", "internal/model",
		"internal/report", "internal/weights",
	},
	"internal/cli": {
		"internal/backend", "internal/bench", "internal/checkpoint", "internal/config", "internal/cpu", "internal/cuda", "internal/data", "internal/dist", "internal/graph",
		"internal/kernels", "internal/metrics", "internal/model", "internal/nvml", "internal/onnx", "internal/ref", "internal/report", "internal/train", "internal/weights",
	},
	"cmd/senet": {"internal/cli"},
}

// confined lists packages of others, with all below them, that only these of ours may import, their tests included.
var confined = map[string][]string{
	"gorgonia.org/cu": {"internal/cuda"},    // it ends the process on a host without a driver unless it is linked with care
	"net/http":        {"internal/metrics"}, // which listens on the loopback interface if asked; only internal/dist listens or connects as well
}

const (
	module   = "senet"
	maxLines = 500 // of a file; aim under 300
)

// oneDNN is an include of oneDNN in C++, or in the C of a Go file.
var oneDNN = regexp.MustCompile(`(?m)^\s*(//\s*)?#\s*include\s*[<"](oneapi/dnnl/)?dnnl`)

// source is one file of the repository; its path is relative to the root, with slashes.
type source struct {
	path string
	text []byte
}

func (s source) folder() string { return path.Dir(s.path) }

func TestImportsPointOneWay(t *testing.T) {
	for _, s := range sources(t, ".go") {
		report(t, checkImports(s))
	}
}

func TestOneDNNIsSeenOnlyByCPU(t *testing.T) {
	found := false
	for _, s := range sources(t, ".go", ".c", ".h", ".cpp", ".hpp", ".cu", ".cuh") {
		if s.folder() == "internal/cpu" {
			found = found || oneDNN.Match(s.text)
			continue
		}
		report(t, checkOneDNN(s))
	}
	if !found {
		t.Error("internal/cpu includes no oneDNN header: this test no longer sees what it guards")
	}
}

func TestFilesStaySmall(t *testing.T) {
	for _, s := range sources(t, ".go", ".c", ".h", ".cpp", ".hpp", ".cu", ".cuh", ".py", ".sh") {
		report(t, checkLines(s))
	}
}

// TestChecksCanFail feeds each check what it must and must not report.
func TestChecksCanFail(t *testing.T) {
	goFile := func(path string, imports ...string) source {
		text := "package p\n"
		for _, i := range imports {
			text += fmt.Sprintf("import _ %q\n", i)
		}
		return source{path, []byte(text)}
	}
	lines := func(n int) []byte { return bytes.Repeat([]byte("\n"), n) }
	for name, c := range map[string]struct {
		err  error
		want string // part of the error, "" for none
	}{
		"forward":               {checkImports(goFile("internal/train/a.go", "senet/internal/graph", "fmt", "gorgonia.org/tensor")), ""},
		"backward":              {checkImports(goFile("internal/graph/a.go", "fmt", "senet/internal/model")), "internal/graph must not import internal/model"},
		"backward in a test":    {checkImports(goFile("internal/graph/a_test.go", "senet/internal/model")), ""},
		"around cli":            {checkImports(goFile("cmd/senet/main.go", "senet/internal/cpu")), "cmd/senet must not import internal/cpu"},
		"to the suite":          {checkImports(goFile("internal/cli/a.go", "senet/internal/backend/backendtest")), "must not import internal/backend/backendtest"},
		"unlisted":              {checkImports(goFile("internal/utils/a.go", "fmt")), "internal/utils is not listed"},
		"cu in its place":       {checkImports(goFile("internal/cuda/a.go", "gorgonia.org/cu")), ""},
		"cu elsewhere":          {checkImports(goFile("internal/cli/a.go", "gorgonia.org/cu")), "internal/cli must not import gorgonia.org/cu"},
		"a part of cu":          {checkImports(goFile("internal/cli/a.go", "gorgonia.org/cu/dnn")), "must not import gorgonia.org/cu/dnn"},
		"cu in a test":          {checkImports(goFile("internal/cli/a_test.go", "gorgonia.org/cu")), "must not import gorgonia.org/cu"},
		"net":                   {checkImports(goFile("internal/data/a.go", "net/http")), "must not import net/http"},
		"net in its place":      {checkImports(goFile("internal/metrics/a.go", "net/http")), ""},
		"no Go":                 {checkImports(source{"internal/data/a.go", []byte("import")}), "internal/data/a.go"},
		"oneDNN's C++":          {checkOneDNN(source{"internal/train/a.cpp", []byte("#pragma once\n#include <dnnl.hpp>\n")}), "only internal/cpu"},
		"oneDNN's full path":    {checkOneDNN(source{"internal/train/a.h", []byte("# include \"oneapi/dnnl/dnnl.h\"\n")}), "only internal/cpu"},
		"oneDNN in cgo":         {checkOneDNN(source{"internal/train/a.go", []byte("package p\n// #include <dnnl.h>\nimport \"C\"\n")}), "only internal/cpu"},
		"another header":        {checkOneDNN(source{"internal/train/a.cpp", []byte("#include <vector>\n// not dnnl.h\n")}), ""},
		"the most lines":        {checkLines(source{"a.go", lines(maxLines)}), ""},
		"one more":              {checkLines(source{"a.go", lines(maxLines + 1)}), "501 lines"},
		"the last line's start": {checkLines(source{"a.go", append(lines(maxLines), 'x')}), "501 lines"},
	} {
		switch {
		case c.want == "" && c.err != nil:
			t.Errorf("%s: %v, want no error", name, c.err)
		case c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)):
			t.Errorf("%s: error %v, want one with %q", name, c.err, c.want)
		}
	}
}

// checkImports reads the imports of a Go file under any build constraint, unlike `go list`.
func checkImports(s source) error {
	f, err := parser.ParseFile(token.NewFileSet(), s.path, s.text, parser.ImportsOnly)
	if err != nil {
		return err
	}
	from := s.folder()
	may, listed := allowed[from]
	if !listed {
		return fmt.Errorf("%s: package %s is not listed in internal/arch: say there what it may import", s.path, from)
	}
	var errs []error
	for _, i := range f.Imports {
		to, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", s.path, i.Path.Value, err)
		}
		ours, isOurs := strings.CutPrefix(to, module+"/")
		switch {
		case isOurs && !strings.HasSuffix(s.path, "_test.go") && !slices.Contains(may, ours):
			errs = append(errs, fmt.Errorf("%s: %s must not import %s", s.path, from, ours))
		case !isOurs && !mayImport(from, to):
			errs = append(errs, fmt.Errorf("%s: %s must not import %s", s.path, from, to))
		}
	}
	return errors.Join(errs...)
}

// mayImport looks up what is confined to some packages.
func mayImport(from, to string) bool {
	for name, by := range confined {
		if (to == name || strings.HasPrefix(to, name+"/")) && !slices.Contains(by, from) {
			return false
		}
	}
	return true
}

func checkOneDNN(s source) error {
	if line := oneDNN.Find(s.text); line != nil {
		return fmt.Errorf("%s: %q: only internal/cpu sees oneDNN", s.path, bytes.TrimSpace(line))
	}
	return nil
}

func checkLines(s source) error {
	n := bytes.Count(s.text, []byte("\n"))
	if len(s.text) > 0 && !bytes.HasSuffix(s.text, []byte("\n")) {
		n++
	}
	if n > maxLines {
		return fmt.Errorf("%s has %d lines, want at most %d", s.path, n, maxLines)
	}
	return nil
}

func report(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// sources reads the repository's files of these endings, those in cmd, internal and scripts.
func sources(t *testing.T, endings ...string) []source {
	t.Helper()
	root := os.DirFS("../..")
	var found []source
	for _, top := range []string{"cmd", "internal", "scripts"} {
		err := fs.WalkDir(root, top, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !slices.Contains(endings, path.Ext(p)) {
				return err
			}
			text, err := fs.ReadFile(root, p)
			found = append(found, source{p, text})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 10 {
		t.Fatalf("found %d files ending in %s: this test no longer sees the repository", len(found), strings.Join(endings, ", "))
	}
	return found
}
