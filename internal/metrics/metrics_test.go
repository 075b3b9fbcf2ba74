package metrics

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"senet/internal/report"
)

var fashion = report.Run{Model: "seresnet20", Data: "fashion-mnist", Device: `cpu: "two" \ cores`, Epochs: 2, BatchesPerEpoch: 6, PlannedBytes: 1 << 20}

func listen(t *testing.T) *Server {
	t.Helper()
	s, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(t *testing.T, s *Server, path string) (status int, contentType, body string) {
	t.Helper()
	r, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close() //nolint:errcheck // only read from
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header.Get("Content-Type"), string(text)
}

// sample is a line of the text format: a name, labels with escaped values, a value.
var sample = regexp.MustCompile(`^([a-z][a-z0-9_]*)(\{(?:[a-z_]+="(?:[^"\\]|\\["\\n])*",?)*\})? (\S+)$`)

// parse reads the text format strictly: every family has its help, its type and one sample, in this order.
func parse(t *testing.T, text string) (values map[string]float64, kinds, labels map[string]string) {
	t.Helper()
	values, kinds, labels = map[string]float64{}, map[string]string{}, map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		help := strings.SplitN(lines.Text(), " ", 4)
		if !lines.Scan() || len(help) != 4 || help[0]+help[1] != "#HELP" {
			t.Fatalf("%q is no help", help)
		}
		kind := strings.Split(lines.Text(), " ")
		if !lines.Scan() || len(kind) != 4 || kind[0]+kind[1] != "#TYPE" || kind[2] != help[2] {
			t.Fatalf("%q is no type of %s", kind, help[2])
		}
		m := sample.FindStringSubmatch(lines.Text())
		if m == nil || m[1] != help[2] {
			t.Fatalf("%q is no sample of %s", lines.Text(), help[2])
		}
		x, err := strconv.ParseFloat(m[3], 64)
		if _, twice := values[m[1]]; err != nil || twice {
			t.Fatalf("%q: twice %v, error %v", lines.Text(), twice, err)
		}
		if counter := strings.HasSuffix(m[1], "_total"); counter != (kind[3] == "counter") {
			t.Errorf("%s is a %s", m[1], kind[3])
		}
		values[m[1]], kinds[m[1]], labels[m[1]] = x, kind[3], m[2]
	}
	return values, kinds, labels
}

func TestFiguresAreServedInPrometheusFormat(t *testing.T) {
	s := listen(t)
	epoch := report.Epoch{Epoch: 1, ValLoss: 0.5, ValTop1: 90, ValTop5: 99}
	worse := report.Epoch{Epoch: 2, ValLoss: 0.75, ValTop1: 80, ValTop5: 98}
	step := report.Step{Epoch: 1, GlobalStep: 5, Images: 100, Loss: 2, Top1: 25, LR: 0.125, StepTime: 4 * time.Second, DataWait: time.Second, LossScale: 1024, GPU: report.GPU{Utilization: 97, UsedBytes: 23 << 30}}
	skipped := step
	skipped.GlobalStep, skipped.Loss = 6, math.NaN()
	last := step
	last.Epoch, last.GlobalStep, last.Loss, last.Top1, last.StepTime = 2, 7, 0.25, 75, 2*time.Second
	if err := errors.Join(s.Start(fashion), s.Step(step), s.Step(skipped), s.Epoch(epoch), s.Step(last), s.Epoch(worse)); err != nil {
		t.Fatal(err)
	}
	status, kind, body := get(t, s, "/metrics")
	if status != http.StatusOK || kind != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("status %d, content type %s", status, kind)
	}
	values, _, labels := parse(t, body)
	for name, want := range map[string]float64{
		"senet_run_info": 1, "senet_epochs_planned": 2, "senet_batches_per_epoch": 6, "senet_planned_memory_bytes": 1 << 20, "senet_images_total": 300,
		"senet_step_seconds_total": 10, "senet_data_wait_seconds_total": 3, "senet_skipped_steps_total": 1, "senet_epoch": 2, "senet_step": 7,
		"senet_train_loss": 0.25, "senet_train_top1_percent": 75, "senet_learning_rate": 0.125, "senet_images_per_second": 50, "senet_loss_scale": 1024, "senet_gpu_utilization_percent": 97, "senet_gpu_used_memory_bytes": 23 << 30,
		"senet_val_loss": 0.75, "senet_val_top1_percent": 80, "senet_val_top5_percent": 98, "senet_best_top1_percent": 90,
	} {
		if have, ok := values[name]; !ok || have != want {
			t.Errorf("%s is %v, there: %v, want %v", name, have, ok, want)
		}
	}
	if rss := values["process_resident_memory_bytes"]; !(rss > 1<<20 && rss < 1<<36) {
		t.Errorf("resident memory %v", rss)
	}
	if want := `{model="seresnet20",data="fashion-mnist",device="cpu: \"two\" \\ cores"}`; labels["senet_run_info"] != want {
		t.Errorf("labels %s, want %s", labels["senet_run_info"], want)
	}
}

func TestFiguresThatThereAreNotYetAreLeftOut(t *testing.T) {
	s := listen(t)
	_, _, body := get(t, s, "/metrics")
	if values, _, _ := parse(t, body); len(values) != 1 {
		t.Errorf("before the run: have %v, want the memory alone", values)
	}
	if err := errors.Join(s.Start(fashion), s.Step(report.Step{GlobalStep: 1, Loss: math.Inf(1), StepTime: time.Second})); err != nil {
		t.Fatal(err)
	}
	_, _, body = get(t, s, "/metrics")
	values, _, _ := parse(t, body)
	for _, name := range []string{"senet_val_loss", "senet_best_top1_percent", "senet_loss_scale"} {
		if x, ok := values[name]; ok {
			t.Errorf("%s is %v before there is any", name, x)
		}
	}
	if !math.IsInf(values["senet_train_loss"], 1) || values["senet_skipped_steps_total"] != 1 {
		t.Errorf("an infinite loss: have %v, skipped %v", values["senet_train_loss"], values["senet_skipped_steps_total"])
	}
}

func TestHealthAndWhatElseIsAskedFor(t *testing.T) {
	s := listen(t)
	if status, _, body := get(t, s, "/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz: %d, %q", status, body)
	}
	if status, _, _ := get(t, s, "/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
	r, err := http.Post("http://"+s.Addr()+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Body.Close(); err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, error %v", r.StatusCode, err)
	}
}

// TestOnlyTheLoopbackListens: a connection to the same port of any other address of this machine is refused.
func TestOnlyTheLoopbackListens(t *testing.T) {
	s := listen(t)
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil || host != "127.0.0.1" {
		t.Fatalf("listens on %s, error %v", s.Addr(), err)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	others := []net.IP{net.IPv6loopback, net.IPv4(127, 0, 0, 2)}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			others = append(others, n.IP)
		}
	}
	for _, ip := range others {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(ip.String(), port), time.Second)
		if err == nil {
			t.Errorf("%s answers too", ip)
			_ = c.Close()
		}
	}
}

func TestAPortInUseIsAnErrorAndCloseFreesIt(t *testing.T) {
	s, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	port := s.listener.Addr().(*net.TCPAddr).Port
	if _, err := Listen(port); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("have error %v, want that the port is in use", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("the port answers after Close")
		_ = c.Close()
	}
	again, err := Listen(port)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
