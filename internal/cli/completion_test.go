package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"senet/internal/model"
)

// complete asks as the shell does and returns the candidates, without their descriptions, and the directive.
func complete(t *testing.T, args ...string) (candidates []string, directive string) {
	t.Helper()
	o := senet(append([]string{cobra.ShellCompNoDescRequestCmd}, args...)...)
	if o.code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, o.code, o.err)
	}
	lines := strings.Split(strings.TrimSpace(o.out), "\n")
	_, names, _ := strings.Cut(o.err, "directive: ")
	return lines[:len(lines)-1], strings.TrimSpace(names)
}

// TestCompletion: what comes after what is typed so far, of which the shell leaves out what does not
// begin as the last word does. Files of a kind are asked for by their extensions.
func TestCompletion(t *testing.T) {
	const (
		noFiles = "ShellCompDirectiveNoFileComp"
		filter  = "ShellCompDirectiveFilterFileExt"
		files   = "ShellCompDirectiveDefault"
	)
	devices := []string{"auto", "cpu", "cuda"}
	names := []string{"completion", "help"}
	for _, c := range commands()[0].Commands() {
		if !slices.Contains(names, c.Name()) {
			names = append(names, c.Name())
		}
	}
	slices.Sort(names)
	for _, c := range []struct {
		typed     string
		want      []string
		directive string
	}{
		{"", names, noFiles},
		{"config ", []string{"print"}, noFiles},
		{"help e", []string{"eval", "export"}, noFiles},
		{"summary --model ", model.Names(), noFiles},
		{"train --device ", devices, noFiles},
		{"eval --device ", devices, noFiles},
		{"predict --device ", devices, noFiles},
		{"doctor --device ", devices, noFiles},
		{"train --precision ", precisions, noFiles},
		{"bench --precision ", precisions, noFiles},
		{"train --config ", []string{"yaml", "yml"}, filter},
		{"config print -c ", []string{"yaml", "yml"}, filter},
		{"predict --checkpoint runs/best ", []string{"jpg", "jpeg", "png", "gif", "webp"}, filter},
		{"eval --checkpoint ", nil, files},
		{"train ", nil, noFiles},
		{"version ", nil, noFiles},
	} {
		candidates, directive := complete(t, strings.Split(c.typed, " ")...)
		if !slices.Equal(candidates, c.want) || directive != c.directive {
			t.Errorf("%q: %q, %s, want %q, %s", c.typed, candidates, directive, c.want, c.directive)
		}
	}
}

// TestCompletionScripts: there is one for each shell.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		o := senet("completion", shell)
		o.want(t, 0)
		if len(o.out) < 1000 || !strings.Contains(o.out, "__complete") || o.err != "" {
			t.Errorf("%s: %d bytes, stderr %q", shell, len(o.out), o.err)
		}
	}
}
