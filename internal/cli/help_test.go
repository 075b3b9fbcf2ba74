package cli

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

// commands are all of senet's own, the root first; those of cobra are left out.
func commands() []*cobra.Command {
	all := []*cobra.Command{newRootCmd(&deps{})}
	for i := 0; i < len(all); i++ {
		for _, c := range all[i].Commands() {
			if c.Name() != "help" && c.Name() != "completion" {
				all = append(all, c)
			}
		}
	}
	return all
}

// TestHelp: each command's help is the file in testdata/help. After a change: go test ./internal/cli -run Help -update.
func TestHelp(t *testing.T) {
	dir := filepath.Join("testdata", "help")
	var files []string
	for _, c := range commands() {
		args := strings.Fields(c.CommandPath())[1:]
		o := senet(append(args, "--help")...)
		o.want(t, 0)
		if o.err != "" {
			t.Errorf("%s: stderr %q", c.CommandPath(), o.err)
		}
		if asked := senet(append([]string{"help"}, args...)...); asked != o {
			t.Errorf("senet help %s differs from %s --help", strings.Join(args, " "), c.CommandPath())
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".txt"
		files = append(files, name)
		path := filepath.Join(dir, name)
		if *update {
			writeFile(t, path, o.out)
		}
		if want := readFile(t, path); o.out != want {
			t.Errorf("%s --help differs from %s; have\n%s", c.CommandPath(), path, o.out)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(files, e.Name()) {
			t.Errorf("%s is no command's", filepath.Join(dir, e.Name()))
		}
	}
	if o, root := senet(), senet("--help"); o != root {
		t.Errorf("senet alone does not print its help: %+v", o)
	}
}

// TestHelpLinesFitATerminal: all but those of flags, whose table cobra sets.
func TestHelpLinesFitATerminal(t *testing.T) {
	for _, c := range commands() {
		for line := range strings.Lines(c.Long) {
			if len(strings.TrimSuffix(line, "\n")) > 100 {
				t.Errorf("%s: %d characters: %s", c.CommandPath(), len(line), line)
			}
		}
	}
}

// TestEveryCommandAndFlagIsDescribed: and flags of one name are written in one way.
func TestEveryCommandAndFlagIsDescribed(t *testing.T) {
	flags := map[string]*pflag.Flag{}
	for _, c := range commands() {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short description %q", c.CommandPath(), c.Short)
		}
		c.InitDefaultHelpFlag()
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s is not described", c.CommandPath(), f.Name)
			}
			if before := flags[f.Name]; before != nil && (f.Shorthand != before.Shorthand || f.Value.Type() != before.Value.Type()) {
				t.Errorf("%s: -%s, --%s %s is elsewhere -%s and %s", c.CommandPath(), f.Shorthand, f.Name, f.Value.Type(), before.Shorthand, before.Value.Type())
			}
			flags[f.Name] = f
		})
	}
}

// TestExamples: every command that does something with flags has examples, and they are valid command lines on files that are there.
func TestExamples(t *testing.T) {
	for _, c := range commands() {
		if c.Example == "" && !c.HasSubCommands() && c.Name() != "version" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			args := strings.Fields(line)
			if len(args) < 2 || args[0] != "senet" || !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: example %q", c.CommandPath(), line)
				continue
			}
			cmd, rest, err := newRootCmd(&deps{}).Find(args[1:])
			if err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			if f := cmd.Flags().Lookup("config"); f != nil && f.Changed {
				if o := senet("config", "print", "--config", filepath.Join("..", "..", f.Value.String())); o.code != 0 {
					t.Errorf("%q: %s", line, o.err)
				}
			}
		}
	}
}

// TestHelpTellsEveryJSONKey: the help of a command with --json names all keys of its object.
func TestHelpTellsEveryJSONKey(t *testing.T) {
	objects := map[string]reflect.Type{
		"bench": reflect.TypeFor[benchReport](), "eval": reflect.TypeFor[evalReport](), "predict": reflect.TypeFor[predictReport](),
		"import": reflect.TypeFor[importReport](), "summary": reflect.TypeFor[summaryReport](), "cost": reflect.TypeFor[costReport](),
		"verify": reflect.TypeFor[verifyReport](), "stats": reflect.TypeFor[statsReport](),
		"doctor": reflect.TypeFor[doctorReport](), "version": reflect.TypeFor[versionInfo](),
	}
	for _, c := range commands() {
		object := objects[c.Name()]
		if hasJSON := c.Flags().Lookup("json") != nil; hasJSON != (object != nil) {
			t.Errorf("%s has --json: %v, the test knows its object: %v", c.CommandPath(), hasJSON, object != nil)
			continue
		}
		if object == nil {
			continue
		}
		_, told, ok := strings.Cut(c.Long, "--json prints {")
		if !ok {
			t.Errorf("%s: the help does not say what --json prints", c.CommandPath())
		}
		words := strings.FieldsFunc(told, func(r rune) bool { return !(r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9') })
		for _, key := range jsonKeys(object) {
			if c.Name() == "doctor" && slices.Contains(jsonKeys(objects["version"]), key) { // said to be as version prints it
				continue
			}
			if !slices.Contains(words, key) {
				t.Errorf("%s: the help does not name the key %q of the JSON object", c.CommandPath(), key)
			}
		}
	}
}

// jsonKeys are the keys of an object and of all objects in it.
func jsonKeys(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return jsonKeys(t.Elem())
	case reflect.Struct:
		var keys []string
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			keys = append(append(keys, name), jsonKeys(t.Field(i).Type)...)
		}
		return keys
	}
	return nil
}
