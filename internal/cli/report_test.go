package cli

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReportComparesRuns: finished or not, by their folders or their files, with what differs between them.
func TestReportComparesRuns(t *testing.T) {
	f := newFixture(t)
	lines := strings.SplitAfter(readFile(t, filepath.Join(f.run, metricsFile)), "\n")
	stopped := writeFile(t, filepath.Join(t.TempDir(), "stopped.jsonl"), strings.Replace(strings.Join(lines[:7], ""), "lr: 0.05", "lr: 0.5", 1))
	out := filepath.Join(t.TempDir(), "compared.html")
	o := senet("report", f.run+"/", stopped, "--out", out)
	o.want(t, 0)
	if o.out != "" || o.err != "report written to "+out+"\n" {
		t.Errorf("stdout %q, stderr %q", o.out, o.err)
	}
	page := readFile(t, out)
	for _, want := range []string{
		"<h1>2 training runs</h1>", `scope="col">` + f.run + "</th>", `scope="col">` + stopped + "</th>", "4 of 4", "0 of 4", "Mean SE gate, stage 3",
		`<th scope="row">train.lr</th><td>0.05</td><td>0.5</td>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(page, "<svg"); n != 6+3 {
		t.Errorf("%d curves, want 6 and the gates of 3 stages", n)
	}
}

// TestTrainingEndsWithWhatToDoNext: the best checkpoint, the command that evaluates it, and the curves.
func TestTrainingEndsWithWhatToDoNext(t *testing.T) {
	f := newFixture(t)
	curves := filepath.Join(f.run, "curves.html")
	want := fmt.Sprintf("checkpoint: %s\nevaluate: senet eval --checkpoint %s --report %s\ncurves: %s\n", f.best(), f.best(), filepath.Join(f.run, "report.html"), curves)
	if !strings.HasSuffix(f.trained.out, want) {
		t.Errorf("stdout ends with %q, want %q", f.trained.out[max(0, len(f.trained.out)-len(want)):], want)
	}
	if page := readFile(t, curves); !strings.Contains(page, "<h1>Training run "+f.run+"</h1>") {
		t.Errorf("%s has no title", curves)
	}
}

func TestReportErrors(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	damaged := writeFile(t, filepath.Join(dir, "damaged.jsonl"), `{"event":"start","batches_per_epoch":6}`+"\nnot json\n")
	empty := writeFile(t, filepath.Join(dir, "empty.jsonl"), "")
	out := filepath.Join(dir, "out.html")
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{3, []string{f.run, damaged}, "bad record: " + damaged + ":2: invalid character"},
		{3, []string{f.run, empty}, "bad record: " + empty + " has no run"},
		{3, []string{dir}, "bad record: open " + filepath.Join(dir, metricsFile)},
		{2, nil, "usage: accepts between 1 and 8 arg(s), received 0"},
		{2, strings.Fields(strings.Repeat(f.run+" ", 9)), "usage: accepts between 1 and 8 arg(s), received 9"},
	} {
		senet(append([]string{"report", "--out", out}, c.args...)...).want(t, c.code, c.want)
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%v: a page was written", c.args)
		}
	}
	senet("report", f.run, "--out", filepath.Join(dir, "none", "out.html")).want(t, 1, "--out: open ")
}

// ask sends a request to 127.0.0.1 and returns the answer.
func ask(port int, path string) (string, error) {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close() //nolint:errcheck // the answer was read
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", path); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	return string(text), err
}

// askingWriter asks for the metrics at every write.
type askingWriter struct {
	bytes.Buffer
	port    int
	answers []string
}

func (w *askingWriter) Write(p []byte) (int, error) {
	if answer, err := ask(w.port, "/metrics"); err == nil { // the last line comes after the run
		w.answers = append(w.answers, answer)
	}
	return w.Buffer.Write(p)
}

// TestTrainingServesMetricsWhileItRuns: on the port of the config, which a second run finds in use before it writes anything.
func TestTrainingServesMetricsWhileItRuns(t *testing.T) {
	f := newFixture(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	dir := filepath.Join(t.TempDir(), "run")
	args := f.train(dir, "--set", fmt.Sprintf("output.metrics_port=%d", port))
	senet(args...).want(t, 1, fmt.Sprintf("output.metrics_port: metrics: listen tcp4 127.0.0.1:%d: bind: address already in use", port))
	if _, err := os.Stat(dir); err == nil {
		t.Error("a run that could not start left a folder")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w := &askingWriter{port: port}
	run(deps{Streams: Streams{Out: w}}, args...).want(t, 0)
	all := strings.Join(w.answers, "\n")
	for _, want := range []string{"200 OK", "\nsenet_run_info{model=\"seresnet20_cifar\",data=\"fashion-mnist\",device=\"cpu: ", "\nsenet_step 8\n", "\nsenet_images_total 64\n", "\nsenet_val_top1_percent "} {
		if !strings.Contains(all, want) {
			t.Errorf("no answer has %q:\n%s", want, all)
		}
	}
	if _, err := ask(port, "/metrics"); err == nil {
		t.Error("the port answers after the run")
	}
}
