package arch_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// indexedJobFile is what the checks read of a Job whose pods are ranks, beside what jobFile has.
type indexedJobFile struct {
	Metadata struct{ Name string }
	Spec     struct {
		CompletionMode           string `yaml:"completionMode"`
		Completions, Parallelism int
		Template                 struct {
			Spec struct {
				Subdomain  string
				Containers []struct {
					Env []struct{ Name, Value string }
				}
			}
		}
	}
}

// serviceFile is what the checks read of a Service.
type serviceFile struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		ClusterIP       string `yaml:"clusterIP"`
		PublishNotReady bool   `yaml:"publishNotReadyAddresses"`
		Selector        map[string]string
	}
}

func TestKubernetesRanksJob(t *testing.T) {
	text, claims := readRoot(t, "deploy/kubernetes/ranks-job.yaml"), readRoot(t, "deploy/kubernetes/volumes-shared.yaml")
	check := func(text string) error { return checkRanksJob(t, text, claims) }
	report(t, check(text))
	spoilEach(t, text, check, []spoiled{
		{"clusterIP: None", "clusterIP: 10.0.0.9", "no headless service"},
		{"publishNotReadyAddresses: true", "publishNotReadyAddresses: false", "not ready"},
		{"batch.kubernetes.io/job-name: senet-ranks", "batch.kubernetes.io/job-name: senet", "selects job senet,"},
		{"subdomain: senet-ranks", "subdomain: senet", "subdomain senet,"},
		{"completionMode: Indexed", "completionMode: NonIndexed", "NonIndexed"},
		{"completions: 2", "completions: 3", "3 completions"},
		{"parallelism: 2", "parallelism: 1", "1 at a time"},
		{`value: "2"`, `value: "4"`, "WORLD_SIZE 4"},
		{"- {name: WORLD_SIZE", "- {name: RANK, value: \"0\"}\n            - {name: WORLD_SIZE", "every pod has RANK 0"},
		{"value: senet-ranks-0.senet-ranks", "value: senet-ranks-0", "MASTER_ADDR senet-ranks-0,"},
		{`value: "29500"`, `value: ""`, "MASTER_PORT"},
		{"values: [2, 3, 5]", "values: [2, 3, 5, 6]", "exit code 6 is FailJob"},
		{"claimName: senet-shared-runs", "claimName: senet-runs", "no claim senet-runs"},
		{"- --resume\n            - auto\n", "", "--resume auto"},
	})
}

// documents splits a YAML file of several documents.
func documents(text string) []string { return strings.Split(text, "\n---\n") }

func checkRanksJob(t *testing.T, text, claims string) error {
	parts := documents(text)
	if len(parts) != 2 {
		return fmt.Errorf("%d documents, want a Service and a Job", len(parts))
	}
	var service serviceFile
	var job indexedJobFile
	if err := errors.Join(yaml.Unmarshal([]byte(parts[0]), &service), yaml.Unmarshal([]byte(parts[1]), &job)); err != nil {
		return err
	}
	var errs []error
	problem := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if service.Kind != "Service" || service.Spec.ClusterIP != "None" {
		problem("no headless service")
	}
	if !service.Spec.PublishNotReady {
		problem("ranks that are not ready have no name")
	}
	if have := service.Spec.Selector["batch.kubernetes.io/job-name"]; have != job.Metadata.Name {
		problem("the service selects job %s, which is called %s", have, job.Metadata.Name)
	}
	spec, pod := job.Spec, job.Spec.Template.Spec
	if pod.Subdomain != service.Metadata.Name {
		problem("subdomain %s, the service is %s", pod.Subdomain, service.Metadata.Name)
	}
	if spec.CompletionMode != "Indexed" {
		problem("completionMode %s", spec.CompletionMode)
	}
	env := map[string]string{}
	for _, c := range pod.Containers {
		for _, e := range c.Env {
			env[e.Name] = e.Value
		}
	}
	if n := fmt.Sprint(spec.Completions); env["WORLD_SIZE"] != n || spec.Parallelism != spec.Completions {
		problem("%s completions, %d at a time, WORLD_SIZE %s", n, spec.Parallelism, env["WORLD_SIZE"])
	}
	if env["RANK"] != "" {
		problem("every pod has RANK %s", env["RANK"])
	}
	if want := job.Metadata.Name + "-0." + service.Metadata.Name; env["MASTER_ADDR"] != want {
		problem("MASTER_ADDR %s, want %s", env["MASTER_ADDR"], want)
	}
	if env["MASTER_PORT"] == "" {
		problem("no MASTER_PORT")
	}
	return errors.Join(append(errs, checkJob(t, parts[1], claims))...)
}

// mpiJobFile is what the checks read of Kubeflow's MPIJob.
type mpiJobFile struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Spec       struct {
		Slots        int    `yaml:"slotsPerWorker"`
		SSH          string `yaml:"sshAuthMountPath"`
		ReplicaSpecs map[string]struct {
			Replicas int
			Template struct {
				Spec struct {
					Grace      int `yaml:"terminationGracePeriodSeconds"`
					Containers []struct {
						Image           string
						Command, Args   []string
						SecurityContext struct {
							RunAsUser int `yaml:"runAsUser"`
						} `yaml:"securityContext"`
					}
					Volumes []struct {
						Claim struct {
							Name string `yaml:"claimName"`
						} `yaml:"persistentVolumeClaim"`
					}
				}
			}
		} `yaml:"mpiReplicaSpecs"`
	}
}

func TestKubeflowMPIJob(t *testing.T) {
	text, claims, image := readRoot(t, "deploy/kubernetes/mpijob.yaml"), readRoot(t, "deploy/kubernetes/volumes-shared.yaml"), readRoot(t, "deploy/kubernetes/mpi.Dockerfile")
	check := func(text string) error { return checkMPIJob(t, text, claims, image) }
	report(t, check(text))
	spoilEach(t, text, check, []spoiled{
		{"kind: MPIJob", "kind: Job", "no MPIJob"},
		{"-n, \"2\"", "-n, \"3\"", "mpirun -n 3"},
		{"replicas: 2", "replicas: 4", "4 workers"},
		{"slotsPerWorker: 1", "slotsPerWorker: 2", "2 slots"},
		{"/opt/senet/bin/senet]", "/usr/bin/senet]", "/usr/bin/senet"},
		{"sshAuthMountPath: /home/mpiuser/.ssh", "sshAuthMountPath: /root/.ssh", "/root/.ssh"},
		{"runAsUser: 1000", "runAsUser: 0", "user 0"},
		{"terminationGracePeriodSeconds: 120", "terminationGracePeriodSeconds: 30", "30s to save"},
		{"image: senet-mpi:development", "image: senet-mpi", "image senet-mpi"},
		{"claimName: senet-shared-runs", "claimName: runs", "no claim runs"},
		{"- --resume", "- --resum", "no flag --resum"},
		{"- --resume\n                - auto\n", "", "--resume auto"},
	})
}

func checkMPIJob(t *testing.T, text, claims, image string) error {
	var job mpiJobFile
	if err := yaml.Unmarshal([]byte(text), &job); err != nil {
		return err
	}
	launcher, workers := job.Spec.ReplicaSpecs["Launcher"], job.Spec.ReplicaSpecs["Worker"]
	if job.APIVersion != "kubeflow.org/v2beta1" || job.Kind != "MPIJob" || len(launcher.Template.Spec.Containers) != 1 {
		return errors.New("no MPIJob of version v2beta1 with a launcher")
	}
	var errs []error
	problem := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	c := launcher.Template.Spec.Containers[0]
	command := strings.Join(c.Command, " ")
	if want := fmt.Sprintf("mpirun -n %d ", job.Spec.Slots*workers.Replicas); !strings.HasPrefix(command, want) {
		problem("%s: want %sfor %d workers of %d slots", command, want, workers.Replicas, job.Spec.Slots)
	}
	if !strings.HasSuffix(command, " /opt/senet/bin/senet") {
		problem("%s is not senet's path in the image", command)
	}
	if !strings.Contains(image, "HostKey "+job.Spec.SSH+"/") {
		problem("mpi.Dockerfile has no sshd with the keys in %s", job.Spec.SSH)
	}
	if !strings.Contains(strings.Join(c.Args, " "), "--resume auto") {
		problem("the next try would not go on: want --resume auto")
	}
	for _, replica := range job.Spec.ReplicaSpecs {
		pod := replica.Template.Spec
		if pod.Grace < int(shortestStop.Seconds()) {
			problem("senet gets %ds to save its state, want %s", pod.Grace, shortestStop)
		}
		for _, c := range pod.Containers {
			if c.SecurityContext.RunAsUser != 1000 || !strings.Contains(image, "--uid 1000 mpiuser") {
				problem("user %d is not mpiuser", c.SecurityContext.RunAsUser)
			}
			errs = append(errs, checkImage(c.Image))
		}
		for _, v := range pod.Volumes {
			if !strings.Contains(claims, "name: "+v.Claim.Name+"\n") {
				problem("no claim %s", v.Claim.Name)
			}
		}
	}
	return errors.Join(append(errs, checkArgs(t, c.Args))...)
}

// script runs a script of deploy in a folder of its own with bin/senet and other programs that say what they are told.
type script struct {
	dir string
	env []string
}

func newScript(t *testing.T, programs map[string]string) script {
	t.Helper()
	s := script{dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(s.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(s.dir, "bin", name), []byte("#!/bin/bash\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.env = append(os.Environ(), "PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"))
	return s
}

// run starts the script at path, relative to the root, and returns its exit code, what it has printed and its stderr.
func (s script) run(t *testing.T, path string, env []string, args ...string) (int, string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{filepath.Join(root, path)}, args...)...)
	cmd.Dir, cmd.Env = s.dir, append(s.env, env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestSlurmScript: what would end alike is not tried again, a job that was stopped is queued anew, all else is tried 4 times.
func TestSlurmScript(t *testing.T) {
	s := newScript(t, map[string]string{
		"scontrol": `if [ "$1" = show ]; then printf 'node1\nnode2\n'; else echo "scontrol $*"; fi`,
		"srun":     `echo "srun $* at $MASTER_ADDR:$MASTER_PORT"; exit $CODE`,
	})
	for code, c := range map[int]struct{ end, tries int }{0: {0, 1}, 2: {2, 1}, 3: {3, 1}, 5: {5, 1}, 6: {6, 4}, 137: {137, 4}, 143: {0, 1}} {
		end, out := s.run(t, "deploy/slurm/train.sbatch", []string{fmt.Sprint("CODE=", code), "SLURM_JOB_ID=70123", "SLURM_JOB_NODELIST=node[1-2]"}, "--config", "a b.yaml")
		call := "srun --kill-on-bad-exit=1 bin/senet train --device cuda --resume auto --config a b.yaml at node1:20123\n"
		if end != c.end || strings.Count(out, call) != c.tries {
			t.Errorf("ranks end with %d: the job with %d, want %d after %d tries:\n%s", code, end, c.end, c.tries, out)
		}
		if requeued := strings.Contains(out, "scontrol requeue 70123"); requeued != (code == 143) {
			t.Errorf("ranks end with %d: requeued %v", code, requeued)
		}
	}
	head, _, _ := strings.Cut(readRoot(t, "deploy/slurm/train.sbatch"), "\nset -euo")
	options := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^#SBATCH --([a-z-]+)(?:=(\S+))?$`).FindAllStringSubmatch(head, -1) {
		options[m[1]] = m[2]
	}
	if options["ntasks-per-node"] != options["gpus-per-node"] || options["nodes"] == "" || !strings.HasPrefix(options["signal"], "TERM@") {
		t.Errorf("options %v: want as many tasks as GPUs, and time to save", options)
	}
	if strings.Count(head, "#SBATCH") != len(options) {
		t.Errorf("a line with #SBATCH that sbatch does not read:\n%s", head)
	}
}

func TestSSHScript(t *testing.T) {
	s := newScript(t, map[string]string{
		"ssh": `shift; exec bash -c "$1"`,
		"senet": `trap 'echo "rank $RANK stops"; exit 143' TERM
echo "rank $RANK of $WORLD_SIZE, $LOCAL_RANK of $LOCAL_WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT: $*"
if [ "$RANK" = "$FAILS" ]; then
	until [ -e ready0 ] && [ -e ready1 ]; do sleep 0.02; done
	exit 6
fi
if [ "$FAILS" ]; then touch "ready$RANK"; fi
while [ "$FAILS" ]; do sleep 0.1; done
`,
	})
	code, out := s.run(t, "deploy/ssh/train.sh", []string{"MASTER_PORT=7"}, "one two", "2", "--config", "a b.yaml")
	if code != 0 || strings.Count(out, "rank") != 4 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	for rank := range 4 {
		want := fmt.Sprintf("rank %d of 4, %d of 2 at one:7: train --resume auto --config a b.yaml\n", rank, rank%2)
		if !strings.Contains(out, want) {
			t.Errorf("no line %q in\n%s", want, out)
		}
	}
	code, out = s.run(t, "deploy/ssh/train.sh", []string{"FAILS=2"}, "one two three", "1", "--config", "a")
	if code != 6 || !strings.Contains(out, "rank 0 stops") || !strings.Contains(out, "rank 1 stops") {
		t.Errorf("exit code %d, want 6, and both other ranks stopped:\n%s", code, out)
	}
}
