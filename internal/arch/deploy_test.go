package arch_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// shortestStop is the least time that senet is given to finish its step and save a checkpoint.
const shortestStop = time.Minute

// composeFile is what the checks read of compose.yaml.
type composeFile struct {
	Services map[string]struct {
		Image     string
		User      string
		Command   []string
		Restart   string
		StopGrace string `yaml:"stop_grace_period"`
		Deploy    struct {
			Resources struct {
				Reservations struct {
					Devices []struct {
						Driver       string
						Capabilities []string
					}
				}
			}
		}
	}
}

// jobFile is what the checks read of a Kubernetes Job.
type jobFile struct {
	Kind string
	Spec struct {
		BackoffLimit     *int `yaml:"backoffLimit"`
		PodFailurePolicy struct {
			Rules []failureRule
		} `yaml:"podFailurePolicy"`
		Template struct {
			Spec struct {
				RestartPolicy   string `yaml:"restartPolicy"`
				Grace           int    `yaml:"terminationGracePeriodSeconds"`
				SecurityContext struct {
					RunAsNonRoot bool `yaml:"runAsNonRoot"`
					RunAsUser    int  `yaml:"runAsUser"`
				} `yaml:"securityContext"`
				Containers []struct {
					Name, Image string
					Args        []string
					Resources   struct {
						Requests, Limits map[string]string
					}
				}
				Volumes []struct {
					Claim struct {
						Name string `yaml:"claimName"`
					} `yaml:"persistentVolumeClaim"`
				}
			}
		}
	}
}

type failureRule struct {
	Action      string
	OnExitCodes struct {
		Container string `yaml:"containerName"`
		Operator  string
		Values    []int
	} `yaml:"onExitCodes"`
}

func TestComposeFile(t *testing.T) {
	text := readRoot(t, "compose.yaml")
	check := func(text string) error { return checkCompose(t, text) }
	report(t, check(text))
	spoilEach(t, text, check, []spoiled{
		{"driver: nvidia", "driver: none", "no GPU"},
		{"capabilities: [gpu]", "capabilities: [utility]", "no GPU"},
		{"restart: on-failure:3", "restart: always", "restart always"},
		{"restart: on-failure:3", "restart: on-failure", "restart on-failure"},
		{"stop_grace_period: 120s", "stop_grace_period: 10s", "10s to save"},
		{"stop_grace_period: 120s", "", "to save"},
		{"read_only: true", "user: root", "user root"},
		{"image: senet:${VERSION:-development}", "image: senet", "image senet"},
		{"- train\n", "- fly\n", "no command fly"},
		{"- --resume", "- --resum", "no flag --resum"},
		{"- auto\n", "- auto\n      - --set\n      - output.dri=/a\n", "output.dri"},
		{"seresnet20-fashion-mnist.yaml", "seresnet20.yaml", "no config seresnet20.yaml"},
		{"services:", "Services:", "no service"},
	})
}

func TestKubernetesJob(t *testing.T) {
	text, claims := readRoot(t, "deploy/kubernetes/train-job.yaml"), readRoot(t, "deploy/kubernetes/volumes.yaml")
	check := func(text string) error { return checkJob(t, text, claims) }
	report(t, check(text))
	spoilEach(t, text, check, []spoiled{
		{"nvidia.com/gpu: 1", "example.com/gpu: 1", "no GPU"},
		{"nvidia.com/gpu: 1", "nvidia.com/gpu: 0", "no GPU"},
		{"cpu: \"4\"", "ephemeral-storage: 1Gi", "requests no cpu"},
		{"limits:\n              memory: 8Gi", "limits:", "no limit of memory"},
		{"runAsNonRoot: true", "runAsNonRoot: false", "root"},
		{"runAsUser: 65532", "runAsUser: 0", "root"},
		{"restartPolicy: Never", "restartPolicy: OnFailure", "restartPolicy OnFailure"},
		{"terminationGracePeriodSeconds: 120", "terminationGracePeriodSeconds: 30", "30s to save"},
		{"backoffLimit: 3", "", "backoffLimit"},
		{"values: [2, 3, 5]", "values: [2, 3]", "exit code 5 is Count"},
		{"values: [2, 3, 5]", "values: [2, 3, 5, 6]", "exit code 6 is FailJob"},
		{"values: [2, 3, 5]", "values: [2, 3, 5, 143]", "exit code 143 is FailJob"},
		{"values: [143]", "values: [137]", "exit code 143 is Count"},
		{"operator: In\n          values: [2", "operator: NotIn\n          values: [2", "exit code 2 is Count"},
		{"containerName: senet\n          operator: In\n          values: [2", "containerName: main\n          operator: In\n          values: [2", "no container main"},
		{"image: senet:development", "image: senet:latest", "image senet:latest"},
		{"image: senet:development", "image: senet", "image senet"},
		{"- --config", "- --confg", "no flag --confg"},
		{"seresnet20-fashion-mnist.yaml", "seresnet20.yaml", "no config seresnet20.yaml"},
		{"data.dir=", "data.dri=", "data.dri"},
		{"- --resume\n            - auto\n", "", "--resume auto"},
		{"claimName: senet-runs", "claimName: runs", "no claim runs"},
		{"kind: Job", "kind: Pod", "no Job"},
	})
}

// spoiled is a change of a sound text and a part of the error that it must lead to.
type spoiled struct{ old, new, want string }

func spoilEach(t *testing.T, text string, check func(string) error, changes []spoiled) {
	t.Helper()
	for _, c := range changes {
		if !strings.Contains(text, c.old) {
			t.Errorf("the text has no %q to spoil", c.old)
			continue
		}
		wantError(t, fmt.Sprintf("%q for %q", c.new, c.old), check(strings.Replace(text, c.old, c.new, 1)), c.want)
	}
}

func checkCompose(t *testing.T, text string) error {
	var file composeFile
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		return fmt.Errorf("compose.yaml: %w", err)
	}
	var errs []error
	for name, s := range file.Services {
		problem := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("compose.yaml: %s: %w", name, fmt.Errorf(format, args...)))
		}
		gpu := false
		for _, d := range s.Deploy.Resources.Reservations.Devices {
			gpu = gpu || d.Driver == "nvidia" && slices.Contains(d.Capabilities, "gpu")
		}
		if !gpu {
			problem("no GPU is reserved")
		}
		if s.Restart != "no" && !regexp.MustCompile(`^on-failure:\d+$`).MatchString(s.Restart) {
			problem("restart %s: a wrong config would be tried for ever", s.Restart)
		}
		if grace, err := time.ParseDuration(cmp.Or(s.StopGrace, "10s")); err != nil || grace < shortestStop {
			problem("senet gets %s to save its state, want %s", cmp.Or(s.StopGrace, "10s"), shortestStop)
		}
		if user, _, _ := strings.Cut(s.User, ":"); user == "root" || user == "0" {
			problem("user %s", s.User)
		}
		if err := errors.Join(checkImage(s.Image), checkArgs(t, s.Command)); err != nil {
			problem("%w", err)
		}
	}
	if len(file.Services) == 0 {
		errs = append(errs, errors.New("compose.yaml: no service"))
	}
	return errors.Join(errs...)
}

func checkJob(t *testing.T, text, claims string) error {
	var job jobFile
	if err := yaml.Unmarshal([]byte(text), &job); err != nil {
		return err
	}
	pod := job.Spec.Template.Spec
	if job.Kind != "Job" || len(pod.Containers) != 1 {
		return errors.New("no Job of one container")
	}
	var errs []error
	problem := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	c := pod.Containers[0]
	if n := c.Resources.Limits["nvidia.com/gpu"]; n == "" || n == "0" {
		problem("no GPU: limits want nvidia.com/gpu")
	}
	if c.Resources.Requests["cpu"] == "" || c.Resources.Requests["memory"] == "" {
		problem("requests no cpu or memory")
	}
	if c.Resources.Limits["memory"] == "" {
		problem("no limit of memory")
	}
	if s := pod.SecurityContext; !s.RunAsNonRoot || s.RunAsUser == 0 {
		problem("may run as root: want runAsNonRoot and runAsUser")
	}
	if pod.RestartPolicy != "Never" {
		problem("restartPolicy %s: podFailurePolicy wants Never", pod.RestartPolicy)
	}
	if grace := time.Duration(pod.Grace) * time.Second; grace < shortestStop {
		problem("senet gets %s to save its state, want %s", grace, shortestStop)
	}
	if job.Spec.BackoffLimit == nil {
		problem("no backoffLimit")
	}
	if !strings.Contains(strings.Join(c.Args, " "), "--resume auto") {
		problem("the next try would not go on: want --resume auto")
	}
	declared := claimNames(t, claims)
	for _, v := range pod.Volumes {
		if v.Claim.Name != "" && !slices.Contains(declared, v.Claim.Name) {
			problem("no claim %s in volumes.yaml", v.Claim.Name)
		}
	}
	errs = append(errs, checkFailurePolicy(job.Spec.PodFailurePolicy.Rules, c.Name), checkImage(c.Image), checkArgs(t, c.Args))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("train-job.yaml: %w", err)
	}
	return nil
}

// checkFailurePolicy: what would end alike is not tried again, being stopped is no failure, all else counts.
func checkFailurePolicy(rules []failureRule, container string) error {
	var errs []error
	for _, r := range rules {
		if name := r.OnExitCodes.Container; len(r.OnExitCodes.Values) > 0 && name != container {
			errs = append(errs, fmt.Errorf("no container %s", name))
		}
	}
	for code, want := range map[int]string{1: "Count", 2: "FailJob", 3: "FailJob", 4: "Count", 5: "FailJob", 6: "Count", 137: "Count", 143: "Ignore"} {
		have := "Count"
		for _, r := range rules {
			if r.OnExitCodes.Operator == "In" && slices.Contains(r.OnExitCodes.Values, code) {
				have = r.Action
				break
			}
		}
		if have != want {
			errs = append(errs, fmt.Errorf("exit code %d is %s, want %s", code, have, want))
		}
	}
	return errors.Join(errs...)
}

// TestExitCodesAreThoseThatDeploymentsKnow: checkFailurePolicy holds for these meanings.
func TestExitCodesAreThoseThatDeploymentsKnow(t *testing.T) {
	help := strings.Join(strings.Fields(readRoot(t, "internal/cli/testdata/help/senet.txt")), " ")
	const want = "Exit codes: 0 ok, 1 failure, 2 usage or config, 3 bad data or checkpoint, 4 no such device, 5 diverged, 6 device or rank lost, 143 stopped by SIGTERM"
	if !strings.Contains(help, want) {
		t.Errorf("senet's help no longer says %q: look at checkFailurePolicy and train-job.yaml", want)
	}
}

// claimNames are the PersistentVolumeClaims of a file of several documents.
func claimNames(t *testing.T, text string) []string {
	t.Helper()
	var names []string
	d := yaml.NewDecoder(strings.NewReader(text))
	for {
		var claim struct {
			Kind     string
			Metadata struct{ Name string }
		}
		err := d.Decode(&claim)
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatalf("volumes.yaml: %v", err)
		}
		if claim.Kind == "PersistentVolumeClaim" {
			names = append(names, claim.Metadata.Name)
		}
	}
}

func checkImage(image string) error {
	_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	if tag == "" || tag == "latest" {
		return fmt.Errorf("image %s: want a tag, and not latest", image)
	}
	return nil
}

var helpFlag = regexp.MustCompile(`(?m)^\s+(?:-\w, )?(--[\w-]+)( \S+)?\s{2,}`)

// checkArgs compares a command line of senet with its help, its configs with those that the image has, and its keys with
// the reference.
func checkArgs(t *testing.T, args []string) error {
	t.Helper()
	if len(args) == 0 || strings.ContainsAny(args[0], "/.") {
		return errors.New("no command")
	}
	helpFile := "internal/cli/testdata/help/senet-" + args[0] + ".txt"
	if !exists(helpFile) {
		return fmt.Errorf("senet has no command %s", args[0])
	}
	takesValue := map[string]bool{}
	for _, m := range helpFlag.FindAllStringSubmatch(readRoot(t, helpFile), -1) {
		takesValue[m[1]] = m[2] != ""
	}
	var errs []error
	for i := 1; i < len(args); i++ {
		flag, value, joined := strings.Cut(args[i], "=")
		withValue, known := takesValue[flag]
		if !known {
			errs = append(errs, fmt.Errorf("senet %s has no flag %s", args[0], args[i]))
			continue
		}
		if withValue && !joined {
			if i++; i == len(args) {
				return fmt.Errorf("%s lacks its value", flag)
			}
			value = args[i]
		}
		switch flag {
		case "--config":
			if !strings.HasPrefix(value, "/opt/senet/configs/") || !exists("configs/"+path.Base(value)) {
				errs = append(errs, fmt.Errorf("the image has no config %s", path.Base(value)))
			}
		case "--set":
			key, _, _ := strings.Cut(value, "=")
			errs = append(errs, checkKey(t, key))
		}
	}
	return errors.Join(errs...)
}

// checkKey looks a config key up in the reference.
func checkKey(t *testing.T, key string) error {
	t.Helper()
	var at any
	if err := yaml.Unmarshal([]byte(readRoot(t, "configs/reference.yaml")), &at); err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(key, ".") {
		keys, _ := at.(map[string]any)
		next, ok := keys[part]
		if !ok {
			return fmt.Errorf("configs/reference.yaml has no key %s", key)
		}
		at = next
	}
	return nil
}
