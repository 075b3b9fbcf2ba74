package arch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instruction of a Dockerfile, continuation lines joined.
type instruction struct {
	line       int    // of its start, the first being 1
	name, args string // name in capitals
}

// stage of a Dockerfile. Parent is the earlier stage that it starts from, nil if that is an image.
type stage struct {
	instruction
	name, base string
	parent     *stage
	body       []instruction
}

// last is the last instruction of that name that holds in the stage, those of its parents included.
func (s *stage) last(name string) (instruction, bool) {
	for ; s != nil; s = s.parent {
		for _, i := range slices.Backward(s.body) {
			if i.name == name {
				return i, true
			}
		}
	}
	return instruction{}, false
}

func TestDockerfileIsSafe(t *testing.T) {
	report(t, checkDockerfile(readRoot(t, "Dockerfile")))
}

// TestDockerfileChecksCanFail: each rule reports what it is there for, and only that.
func TestDockerfileChecksCanFail(t *testing.T) {
	const end = "USER 65532\nENTRYPOINT [\"/senet\"]\n"
	for name, c := range map[string]struct{ text, want string }{
		"a small one":             {"FROM debian:12 AS a\nRUN make\nFROM a\n" + end, ""},
		"a digest":                {"FROM debian@sha256:00\n" + end, ""},
		"a registry with a port":  {"FROM --platform=linux/amd64 host:5000/debian:12\n" + end, ""},
		"nothing at all":          {"FROM scratch\nCOPY senet /senet\n" + end, ""},
		"no tag":                  {"FROM debian\n" + end, "line 1: image debian has no tag"},
		"no tag after a port":     {"FROM host:5000/debian\n" + end, "has no tag"},
		"latest":                  {"FROM debian:latest\n" + end, "debian:latest"},
		"latest in a first stage": {"FROM golang:latest AS a\nFROM debian:12\n" + end, "golang:latest"},
		"a tag from outside":      {"ARG TAG=12\nFROM debian:$TAG\n" + end, "debian:$TAG"},
		"a copy out of latest":    {"FROM debian:12\nCOPY --from=golang:latest /a /a\n" + end, "golang:latest"},
		"a copy out of a stage":   {"FROM debian:12 AS a\nFROM debian:12\nCOPY --from=a /a /a\n" + end, ""},
		"no user":                 {"FROM debian:12\nENTRYPOINT [\"/senet\"]\n", "root"},
		"root":                    {"FROM debian:12\nUSER root\nENTRYPOINT [\"/senet\"]\n", "root"},
		"root by number":          {"FROM debian:12\nUSER 0:0\nENTRYPOINT [\"/senet\"]\n", "root"},
		"root at the end":         {"FROM debian:12\n" + end + "USER root\n", "root"},
		"a user by name":          {"FROM debian:12\nUSER senet\nENTRYPOINT [\"/senet\"]\n", "by number"},
		"a user of an old stage":  {"FROM debian:12 AS a\nUSER 65532\nFROM debian:12\nENTRYPOINT [\"/senet\"]\n", "root"},
		"a user of the parent":    {"FROM debian:12 AS a\n" + end + "FROM a\nRUN make\n", ""},
		"root in another image":   {"FROM debian:12 AS a\nENTRYPOINT [\"/senet\"]\nFROM debian:12\n" + end, "line 1: its user is root"},
		"a secret argument":       {"FROM debian:12\nARG GITHUB_TOKEN\n" + end, "GITHUB_TOKEN"},
		"a secret before FROM":    {"ARG DB_PASSWORD=a\nFROM debian:12\n" + end, "DB_PASSWORD"},
		"a secret variable":       {"FROM debian:12\nENV HOME=/tmp aws_secret_access_key=a\n" + end, "aws_secret_access_key"},
		"a secret of old form":    {"FROM debian:12\nENV API_KEY a\n" + end, "API_KEY"},
		"no secret":               {"FROM debian:12\nENV MONKEY=a TOKENIZERS=b\nARG VERSION=1\n" + end, ""},
		"a fetched file":          {"FROM debian:12\nADD https://a.test/b /b\n" + end, "ADD"},
		"an added folder":         {"FROM debian:12\nadd a b\n" + end, "ADD"},
		"recommended packages":    {"FROM debian:12\nRUN apt-get update && apt-get install -y gcc && rm -rf /var/lib/apt/lists/*\n" + end, "--no-install-recommends"},
		"package lists":           {"FROM debian:12\nRUN apt-get update && apt-get -y install \\\n  --no-install-recommends gcc\n" + end, "/var/lib/apt/lists"},
		"package lists, later":    {"FROM debian:12\nRUN apt install --no-install-recommends gcc\nRUN rm -rf /var/lib/apt/lists/*\n" + end, "/var/lib/apt/lists"},
		"packages":                {"FROM debian:12\nRUN apt-get install --no-install-recommends gcc \\\n # why\n && rm -rf /var/lib/apt/lists/*\n" + end, ""},
		"curl to a shell":         {"FROM debian:12\nRUN curl -sSf https://a.test/b | sh\n" + end, "into a shell"},
		"wget to bash":            {"FROM debian:12\nRUN wget -qO- a.test | tee log | sudo /bin/bash -s\n" + end, "into a shell"},
		"a substituted curl":      {"FROM debian:12\nRUN bash -c \"$(curl a.test)\"\n" + end, "into a shell"},
		"a shell on a curl":       {"FROM debian:12\nRUN sh <(curl a.test)\n" + end, "into a shell"},
		"curl to a file":          {"FROM debian:12\nRUN curl -o b a.test && sha256sum -c sums | grep OK && tar xf b\n" + end, ""},
		"an entry by the shell":   {"FROM debian:12\nUSER 1\nENTRYPOINT /senet\n", "JSON list"},
		"a command by the shell":  {"FROM debian:12\nCMD senet train\n" + end, "JSON list"},
		"single quotes":           {"FROM debian:12\nUSER 1\nENTRYPOINT ['/senet']\n", "JSON list"},
		"no entry":                {"FROM debian:12\nUSER 1\n", "no ENTRYPOINT"},
		"no stage":                {"ARG A\n", "no FROM"},
		"before FROM":             {"RUN make\nFROM debian:12\n" + end, "line 1: RUN before the first FROM"},
		"another escape":          {"# escape=`\nFROM debian:12\n" + end, "directive"},
		"a document in a line":    {"FROM debian:12\nRUN <<EOF\ncurl a.test | sh\nEOF\n" + end, "heredoc"},
		"an unended line":         {"FROM debian:12\n" + end + "RUN a \\\n", "ends in the middle"},
		"a typing error":          {"FROM debian:12\nRUNN a\n" + end, "RUNN"},
		"a trigger":               {"FROM debian:12\nONBUILD RUN a\n" + end, "ONBUILD"},
	} {
		wantError(t, name, checkDockerfile(c.text), c.want)
	}
}

// TestDockerContextIsSmall: the builder is sent neither the history nor what was built or trained.
func TestDockerContextIsSmall(t *testing.T) {
	report(t, checkIgnored(readRoot(t, ".dockerignore")))
	for name, c := range map[string]struct{ text, want string }{
		"listed":             {".git\n.deps\nruns/\n/bin\nlib/**\n", ""},
		"all but some":       {"# why\n*\n!cmd\n!internal\n", ""},
		"one is missing":     {".git\n.deps\nruns\nbin\n", "sends lib"},
		"let in again":       {"*\n!cmd\n!.git\n", "sends .git"},
		"something below it": {"*\n!runs/last\n", "sends runs"},
		"let in, then not":   {"*\n!.deps\n.deps\n", ""},
		"nothing":            {"", "sends .git"},
	} {
		wantError(t, name, checkIgnored(c.text), c.want)
	}
}

// checkDockerfile reports all that is unsafe or cannot be built again.
func checkDockerfile(text string) error {
	all, err := instructions(text)
	if err != nil {
		return err
	}
	stages, err := stagesOf(all)
	if err != nil {
		return err
	}
	var errs []error
	for _, i := range all {
		if err := errors.Join(checkSecrets(i), checkCommands(i)); err != nil {
			errs = append(errs, fmt.Errorf("Dockerfile: line %d: %w", i.line, err))
		}
	}
	for _, s := range stages {
		if err := errors.Join(checkImages(s, stages), checkUser(s)); err != nil {
			errs = append(errs, fmt.Errorf("Dockerfile: line %d: %w", s.line, err))
		}
	}
	if _, ok := stages[len(stages)-1].last("ENTRYPOINT"); !ok {
		errs = append(errs, errors.New("Dockerfile: no ENTRYPOINT in the last stage"))
	}
	return errors.Join(errs...)
}

var (
	directive = regexp.MustCompile(`(?i)^#\s*(escape|syntax)\s*=`)
	known     = strings.Fields("ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL RUN STOPSIGNAL USER VOLUME WORKDIR")
)

// instructions reads the part of the format that the checks understand, and refuses the rest.
func instructions(text string) ([]instruction, error) {
	var all []instruction
	open := false // the line before ended in a backslash
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if directive.MatchString(line) {
			return nil, fmt.Errorf("Dockerfile: line %d: directive %q changes how the file is read", n, line)
		}
		if line == "" || line[0] == '#' {
			continue
		}
		rest, more := strings.CutSuffix(line, `\`)
		if open {
			all[len(all)-1].args += " " + rest
		} else {
			name, args, _ := strings.Cut(rest, " ")
			all = append(all, instruction{line: n, name: strings.ToUpper(name), args: strings.TrimSpace(args)})
		}
		open = more
	}
	if open {
		return nil, errors.New("Dockerfile: ends in the middle of an instruction")
	}
	for _, i := range all {
		if !slices.Contains(known, i.name) {
			return nil, fmt.Errorf("Dockerfile: line %d: these checks do not know %s", i.line, i.name)
		}
		if regexp.MustCompile(`<<-?["']?\w`).MatchString(i.args) {
			return nil, fmt.Errorf("Dockerfile: line %d: a heredoc, which these checks do not read", i.line)
		}
	}
	return all, nil
}

func stagesOf(all []instruction) ([]*stage, error) {
	var stages []*stage
	for _, i := range all {
		switch {
		case i.name == "FROM":
			words := slices.DeleteFunc(strings.Fields(i.args), func(w string) bool { return strings.HasPrefix(w, "--") })
			s := &stage{instruction: i}
			if len(words) > 0 {
				s.base = words[0]
			}
			if len(words) == 3 && strings.EqualFold(words[1], "as") {
				s.name = words[2]
			}
			s.parent = byName(stages, s.base)
			stages = append(stages, s)
		case len(stages) > 0:
			s := stages[len(stages)-1]
			s.body = append(s.body, i)
		case i.name != "ARG":
			return nil, fmt.Errorf("Dockerfile: line %d: %s before the first FROM", i.line, i.name)
		}
	}
	if len(stages) == 0 {
		return nil, errors.New("Dockerfile: no FROM")
	}
	return stages, nil
}

func byName(stages []*stage, name string) *stage {
	for _, s := range stages {
		if name != "" && s.name == name {
			return s
		}
	}
	return nil
}

var fromImage = regexp.MustCompile(`--from=(\S+)`)

// checkImages wants a tag other than latest, or a digest, of every image that the stage takes something from.
func checkImages(s *stage, stages []*stage) error {
	images := []string{s.base}
	for _, i := range s.body {
		if m := fromImage.FindStringSubmatch(i.args); m != nil {
			images = append(images, m[1])
		}
	}
	var errs []error
	for _, image := range images {
		_, tag, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
		switch {
		case image == "scratch" || byName(stages, image) != nil:
		case !tagged:
			errs = append(errs, fmt.Errorf("image %s has no tag", image))
		case tag == "latest" || strings.Contains(image, "$"):
			errs = append(errs, fmt.Errorf("image %s is another one every time", image))
		}
	}
	return errors.Join(errs...)
}

// checkUser: what can be run runs as a user without rights, by number, since Kubernetes' runAsNonRoot cannot judge names.
func checkUser(s *stage) error {
	if _, ok := s.last("ENTRYPOINT"); !ok {
		return nil
	}
	i, ok := s.last("USER")
	user, _, _ := strings.Cut(i.args, ":")
	switch {
	case !ok || user == "root" || strings.Trim(user, "0") == "":
		return errors.New("its user is root")
	case strings.Trim(user, "0123456789") != "":
		return fmt.Errorf("USER %s: want it by number", i.args)
	}
	return nil
}

var (
	assigned = regexp.MustCompile(`(?:^|\s)([A-Za-z_]\w*)(?:=|$|\s)`)
	secret   = regexp.MustCompile(`(?i)(^|_)(secret|token|password|passwd|credentials?|(api|access|private|secret)_?key|auth)(_|$)`)
)

// checkSecrets: arguments and variables stay readable in an image's history.
func checkSecrets(i instruction) error {
	if i.name != "ARG" && i.name != "ENV" {
		return nil
	}
	for _, m := range assigned.FindAllStringSubmatch(i.args, -1) {
		if secret.MatchString(m[1]) {
			return fmt.Errorf("%s %s looks like a secret, which the image would keep", i.name, m[1])
		}
	}
	return nil
}

var (
	aptInstall = regexp.MustCompile(`\bapt(-get)?\s[^&|;]*\binstall\b[^&|;]*`)
	aptLists   = regexp.MustCompile(`\brm -rf? /var/lib/apt/lists`)
	shell      = `(sudo\s+|env\s+)*(/usr)?(/bin/)?(ba|da|z|k)?sh\b`
	piped      = regexp.MustCompile(`\b(curl|wget)\b[^;&]*\|\s*` + shell + `|\b(ba|da|z|k)?sh\b[^;&|]*(<\(|\$\()\s*(curl|wget)\b`)
)

// checkCommands looks at what an instruction runs or brings in.
func checkCommands(i instruction) error {
	switch i.name {
	case "ADD":
		return errors.New("ADD fetches and unpacks what nothing vouches for: COPY files, and fetch with a checksum")
	case "ENTRYPOINT", "CMD":
		var words []string
		if err := json.Unmarshal([]byte(i.args), &words); err != nil {
			return fmt.Errorf("%s %s: want a JSON list: a shell in between keeps signals to itself", i.name, i.args)
		}
	case "RUN":
		var errs []error
		for _, install := range aptInstall.FindAllString(i.args, -1) {
			if !strings.Contains(install, "--no-install-recommends") {
				errs = append(errs, fmt.Errorf("%q lacks --no-install-recommends", strings.TrimSpace(install)))
			}
			if !aptLists.MatchString(i.args) {
				errs = append(errs, errors.New("leaves /var/lib/apt/lists in the layer"))
			}
		}
		if piped.MatchString(i.args) {
			errs = append(errs, errors.New("pipes a download into a shell"))
		}
		return errors.Join(errs...)
	}
	return nil
}

// checkIgnored evaluates .dockerignore for what must not be sent; the last matching line decides.
func checkIgnored(text string) error {
	var errs []error
	for _, folder := range []string{".git", ".deps", "runs", "bin", "lib"} {
		sent := true
		for line := range strings.Lines(text) {
			pattern, again := strings.CutPrefix(strings.TrimSpace(line), "!")
			pattern = strings.TrimPrefix(pattern, "/")
			top, _, below := strings.Cut(strings.TrimRight(strings.TrimSuffix(pattern, "/**"), "/"), "/")
			if (top == "*" || top == folder) && (again || !below) {
				sent = again
			}
		}
		if sent {
			errs = append(errs, fmt.Errorf(".dockerignore sends %s to the builder", folder))
		}
	}
	return errors.Join(errs...)
}

// wantError compares an error with a part of the wanted one, "" for none.
func wantError(t *testing.T, name string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v, want no error", name, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: error %v, want one with %q", name, err, want)
	}
}

// exists reports whether the repository has a file of that path from the root.
func exists(path string) bool {
	_, err := os.Stat("../../" + path)
	return err == nil
}

// readRoot reads a file of the repository by its path from the root.
func readRoot(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
