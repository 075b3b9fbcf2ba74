package report

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"image/color"
	"image/png"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

// evaluation has three classes, a correct prediction and two mistakes.
func evaluation() Evaluation {
	grey := func(label int, top ...Prediction) Example {
		return Example{Pixels: []uint8{0, 50, 100, 150, 200, 250}, H: 2, W: 3, C: 1, Label: label, Top: top}
	}
	return Evaluation{
		Checkpoint: "runs/x/best", Images: 1230, Loss: 0.25, Top1: 91.87, Top5: 99.5, Duration: 2 * time.Second,
		Classes:   []string{"Sandal", "<script>alert(1)</script>", "Bag & co"},
		Confusion: [][]int{{9, 1, 0}, {2, 6, 0}, {0, 0, 0}},
		Examples: []Example{
			grey(1, Prediction{0, 0.75}, Prediction{1, 0.2}, Prediction{2, 0.04}, Prediction{2, 0.01}),
			grey(0, Prediction{0, 0.5}),
			grey(2, Prediction{1, 0.875}, Prediction{2, 0.125}),
		},
	}
}

// recorded is the record of two epochs.
func recorded() Metrics {
	m := Metrics{Run: fashion}
	for i := range 12 {
		g := i + 1
		m.Steps = append(m.Steps, Step{Epoch: i/6 + 1, Step: i%6 + 1, GlobalStep: g, Images: 100, Loss: 2 / float64(g), Top1: float64(5 * g), LR: 0.1, StepTime: 2 * time.Second})
	}
	for e := range 2 {
		m.Epochs = append(m.Epochs, Epoch{Epoch: e + 1, GlobalStep: 6 * (e + 1), ValLoss: 0.75 - float64(e)/2, ValTop1: 80 + 5*float64(e)})
	}
	return m
}

func render(t *testing.T, r Report) string {
	t.Helper()
	var b strings.Builder
	if err := WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// element is a start tag with the text that follows it.
type element struct {
	name string
	attr map[string]string
	text string
}

// parse reads the page as XML, which the template keeps to: every tag is closed, in order.
func parse(t *testing.T, page string) []element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	var es []element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return es
		}
		if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			e := element{name: x.Name.Local, attr: map[string]string{}}
			for _, a := range x.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			es = append(es, e)
		case xml.CharData:
			if len(es) > 0 {
				es[len(es)-1].text += string(x)
			}
		}
	}
}

// texts lists the texts of the elements that match.
func texts(es []element, match func(element) bool) []string {
	var ts []string
	for _, e := range es {
		if match(e) {
			ts = append(ts, strings.TrimSpace(e.text))
		}
	}
	return ts
}

func named(name string) func(element) bool { return func(e element) bool { return e.name == name } }

func ofClass(class string) func(element) bool {
	return func(e element) bool { return e.attr["class"] == class }
}

func equal(t *testing.T, what string, have []string, want ...string) {
	t.Helper()
	if strings.Join(have, "|") != strings.Join(want, "|") {
		t.Errorf("%s: have %q, want %q", what, have, want)
	}
}

func TestReportShowsEverything(t *testing.T) {
	es := parse(t, render(t, Report{
		Title: "seresnet20 on <fashion>", Eval: evaluation(), Metrics: recorded(),
		Machine: []Fact{{"machine", "two cores"}}, Config: "model:\n  name: a<b\n",
	}))
	equal(t, "title", texts(es, named("h1")), "seresnet20 on <fashion>")
	equal(t, "headings", texts(es, named("h2")), "Training", "Confusion matrix", "Correct predictions", "Most confident mistakes", "Machine and configuration")
	equal(t, "headline numbers", texts(es, ofClass("value")), "91.87 %", "99.50 %", "0.2500", "1,230", "2.0s", "24s")
	equal(t, "curves", texts(es, named("b")), "Loss", "Top-1 accuracy", "Learning rate", "Speed")
	if n := len(texts(es, named("svg"))); n != 4 {
		t.Errorf("have %d plots, want 4", n)
	}
	equal(t, "hits", texts(es, ofClass("hit")), "9", "6")
	equal(t, "misses", texts(es, ofClass("miss")), "1", "2")
	equal(t, "rows", texts(es, func(e element) bool { return e.attr["scope"] == "row" }), "Sandal", "<script>alert(1)</script>", "Bag & co", "Precision")
	equal(t, "recall and precision", texts(es, func(e element) bool { return e.name == "td" && e.attr["class"] == "score" }),
		"90.0 %", "75.0 %", "–", "81.8 %", "85.7 %", "–")
	equal(t, "config", texts(es, named("pre")), "model:\n  name: a<b")
	facts := strings.Join(texts(es, named("dd")), "|")
	for _, want := range []string{"two cores", "275,546 parameters", "2 epochs of 6 steps, batch 100, started 2026-01-02 03:04 UTC", "130.00 MiB"} {
		if !strings.Contains(facts, want) {
			t.Errorf("%q is missing in the facts %s", want, facts)
		}
	}
}

func TestReportGroupsExamplesWithTheMostConfidentMistakeFirst(t *testing.T) {
	es := parse(t, render(t, Report{Eval: evaluation()}))
	alts := []string{}
	for _, e := range es {
		if e.name == "img" {
			alts = append(alts, e.attr["alt"])
			if e.attr["class"] != "pixels" {
				t.Error("an image of 3x2 pixels is smoothed")
			}
		}
	}
	equal(t, "images", alts,
		"Image of class Sandal, predicted as Sandal",
		"Image of class Bag & co, predicted as <script>alert(1)</script>",
		"Image of class <script>alert(1)</script>, predicted as Sandal")
	equal(t, "probabilities", texts(es, ofClass("percent")), "50.0 %", "87.5 %", "12.5 %", "75.0 %", "20.0 %", "4.0 %")
	kinds := []string{}
	for _, e := range es {
		if e.name == "li" {
			kinds = append(kinds, e.attr["class"])
		}
	}
	equal(t, "kinds", kinds, "true", "mistake", "true", "mistake", "true", "")
}

func TestReportLoadsNothing(t *testing.T) {
	page := render(t, Report{Title: "x", Eval: evaluation(), Metrics: recorded(), Config: "x"})
	for _, bad := range []string{"http://", "https://", "url(", "@import", "<script", "<link", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %s", bad)
		}
	}
	for _, e := range parse(t, page) {
		if src, ok := e.attr["src"]; ok && !strings.HasPrefix(src, "data:image/png;base64,") {
			t.Errorf("%s loads %s", e.name, src)
		}
	}
}

func TestReportFollowsLightAndDark(t *testing.T) {
	page := render(t, Report{Eval: evaluation(), Metrics: recorded()})
	_, drawing, _ := strings.Cut(page, "<svg")
	for _, bad := range []string{"#0", "Liberation"} {
		if strings.Contains(drawing, bad) {
			t.Errorf("a drawing has %s, want variables of the style sheet", bad)
		}
	}
	for _, want := range []string{"var(--muted)", "var(--grid)", "var(--line-1)", "var(--line-2)"} {
		if !strings.Contains(drawing, want) {
			t.Errorf("no drawing has %s", want)
		}
	}
	if !strings.Contains(page, "prefers-color-scheme: dark") {
		t.Error("the page has no dark colours")
	}
}

func TestReportWorksWithoutMetricsAndWithOneEpoch(t *testing.T) {
	bare := parse(t, render(t, Report{Title: "x", Eval: Evaluation{Images: 1}}))
	if n := len(texts(bare, named("svg"))); n != 0 {
		t.Errorf("have %d plots without metrics", n)
	}
	equal(t, "headings", texts(bare, named("h2")))

	m := recorded()
	m.Steps, m.Epochs = m.Steps[:6], m.Epochs[:1]
	if n := len(texts(parse(t, render(t, Report{Eval: evaluation(), Metrics: m})), named("svg"))); n != 4 {
		t.Errorf("have %d plots of one epoch, want 4", n)
	}
	m.Epochs[0].ValLoss = math.Inf(1)
	if n := len(texts(parse(t, render(t, Report{Eval: evaluation(), Metrics: m})), named("svg"))); n != 4 {
		t.Errorf("have %d plots of an epoch without a loss, want 4", n)
	}
	m.Steps, m.Epochs = m.Steps[:1], nil
	m.Steps[0].Loss = math.NaN()
	equal(t, "curves of one skipped step", texts(parse(t, render(t, Report{Eval: evaluation(), Metrics: m})), named("b")), "Top-1 accuracy", "Learning rate", "Speed")
}

func TestManyClassesAreAListInsteadOfAMatrix(t *testing.T) {
	e := Evaluation{}
	for i := range maxMatrix + 1 {
		e.Classes = append(e.Classes, "class "+string(rune('A'+i)))
		e.Confusion = append(e.Confusion, make([]int, maxMatrix+1))
		e.Confusion[i][i] = 3
	}
	e.Confusion[0][5], e.Confusion[0][7] = 1, 2
	es := parse(t, render(t, Report{Eval: e}))
	if n := len(texts(es, ofClass("matrix"))); n != 0 {
		t.Error("the matrix is shown")
	}
	have := texts(es, func(e element) bool { return e.name == "td" || e.attr["scope"] == "row" })
	equal(t, "first classes", have[:10], "class A", "6", "50.0 %", "100.0 %", "class H (2)", "class B", "3", "100.0 %", "100.0 %", "–")
}

func TestExampleImagesKeepTheirPixels(t *testing.T) {
	for _, x := range []Example{
		{Pixels: []uint8{1, 2, 3, 4, 5, 6}, H: 2, W: 3, C: 1},
		{Pixels: []uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, H: 2, W: 2, C: 3},
	} {
		uri, err := x.dataURI()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(uri), "data:image/png;base64,"))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		var have []uint8
		for y := range x.H {
			for i := range x.W {
				c := color.NRGBAModel.Convert(img.At(i, y)).(color.NRGBA)
				have = append(have, []uint8{c.R, c.G, c.B}[:x.C]...)
			}
		}
		if !bytes.Equal(have, x.Pixels) {
			t.Errorf("have %v, want %v", have, x.Pixels)
		}
	}
}

func TestLargeImagesAreNotPixelated(t *testing.T) {
	x := Example{Pixels: make([]uint8, 100), H: 1, W: 100, C: 1, Top: []Prediction{{}}}
	v, err := newExample(x, []string{"a"})
	if err != nil || v.Small {
		t.Errorf("have %+v (error %v), want an image that is not small", v, err)
	}
}

func TestReportThatDoesNotFitTogetherIsAnErrorAndWritesNothing(t *testing.T) {
	for want, change := range map[string]func(*Evaluation){
		"confusion matrix has 2 rows":          func(e *Evaluation) { e.Confusion = e.Confusion[:2] },
		"row 1 of the confusion matrix has 2":  func(e *Evaluation) { e.Confusion[1] = e.Confusion[1][:2] },
		"example 1: label -1 is not":           func(e *Evaluation) { e.Examples[1].Label = -1 },
		"example 1: label 3 is not":            func(e *Evaluation) { e.Examples[1].Label = 3 },
		"example 2: has no prediction":         func(e *Evaluation) { e.Examples[2].Top = nil },
		"example 2: predicted class 3":         func(e *Evaluation) { e.Examples[2].Top[1].Class = 3 },
		"example 0: has 2 channels":            func(e *Evaluation) { e.Examples[0].C = 2 },
		"example 0: has 6 pixel bytes":         func(e *Evaluation) { e.Examples[0].C = 3 },
		"example 0: has 6 pixel bytes, want 0": func(e *Evaluation) { e.Examples[0].H = 0 },
	} {
		e := evaluation()
		change(&e)
		var b bytes.Buffer
		if err := WriteHTML(&b, Report{Eval: e}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have error %v, want %q", err, want)
		}
		if b.Len() > 0 {
			t.Errorf("%s: %d bytes were written", want, b.Len())
		}
	}
	e := evaluation()
	if err := WriteHTML(fullDisk{}, Report{Eval: e}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("have error %v, want the writer's", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
