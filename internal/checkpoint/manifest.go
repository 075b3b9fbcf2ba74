package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

const (
	format = 1
	// maxManifest bounds manifest.json in bytes: its longest part, the checksums, has some 60 bytes
	// for each tensor that a header of maxHeader may name.
	maxManifest = 4 << 20
)

// Manifest is what a checkpoint says about its run. Floats survive the file bit by bit.
// The fields marked "set by Save" are overwritten there.
type Manifest struct {
	Format  int       `json:"format"`  // set by Save
	Serial  int       `json:"serial"`  // set by Save: counts the saves of a run's folder from 1, so the highest is the newest
	IsBest  bool      `json:"is_best"` // set by Save: the best so far when it was saved
	Created time.Time `json:"created"`

	Model   string   `json:"model"`
	Config  string   `json:"config"` // the effective config as YAML
	Classes []string `json:"classes"`
	Seed    uint64   `json:"seed"`

	// Where the next step stands.
	Epoch      int  `json:"epoch"` // epochs done
	Batch      int  `json:"batch"` // batches done of the running epoch
	GlobalStep int  `json:"global_step"`
	Sums       Sums `json:"sums"`         // of the running epoch
	BadSteps   int  `json:"bad_steps"`    // skipped so far because their numbers were not finite
	BadInARow  int  `json:"bad_in_a_row"` // of these, the ones since the last step that was applied

	LossScale *LossScale `json:"loss_scale"` // nil for training without

	Val  *Score `json:"val"`  // of the epoch that this checkpoint closes; nil if it was saved within one
	Best *Best  `json:"best"` // nil before the first evaluation

	Device    string            `json:"device"`    // that computed it, as its backend describes it
	Libraries map[string]string `json:"libraries"` // name to version
	Files     map[string]File   `json:"files"`     // set by Save
}

// Sums are the running epoch's metrics so far.
type Sums struct {
	Images int     `json:"images"`
	Top1   int     `json:"top1"` // images
	Top5   int     `json:"top5"` // images
	Loss   float64 `json:"loss"` // summed over images
}

// LossScale is the factor of the loss's gradient and the steps without overflow since it changed.
type LossScale struct {
	Factor    float64 `json:"factor"`
	GoodSteps int     `json:"good_steps"`
}

// Score is the outcome of an evaluation; accuracies are in percent.
type Score struct {
	Images int     `json:"images"`
	Loss   float64 `json:"loss"` // mean over images
	Top1   float64 `json:"top1"`
	Top5   float64 `json:"top5"`
}

// Best is the best evaluation of a run so far.
type Best struct {
	Epoch int   `json:"epoch"` // the first is 1
	Score Score `json:"score"`
}

// File is what a checkpoint's manifest says about one of its safetensors files.
type File struct {
	Size    int64             `json:"size"` // bytes
	SHA256  string            `json:"sha256"`
	Tensors map[string]uint32 `json:"tensors"` // CRC-32C of each tensor's bytes
}

// check returns everything that is wrong with the fields that a run fills in.
func (m Manifest) check() error {
	var problems []error
	fail := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if m.Model == "" {
		fail("model: is empty")
	}
	if m.Created.IsZero() {
		fail("created: is not set")
	} else if _, err := m.Created.MarshalText(); err != nil { // JSON's reader takes zones that its writer does not
		fail("created: %w", err)
	}
	if i := slices.IndexFunc(append([]string{m.Model, m.Config}, m.Classes...), func(s string) bool { return !utf8.ValidString(s) }); i >= 0 {
		fail("model, config or classes: text is not UTF-8")
	}
	for _, c := range []struct {
		name  string
		value int
	}{
		{"serial", m.Serial},
		{"epoch", m.Epoch},
		{"batch", m.Batch},
		{"global_step", m.GlobalStep},
		{"bad_steps", m.BadSteps},
		{"bad_in_a_row", m.BadInARow},
		{"sums.images", m.Sums.Images},
		{"sums.top1", m.Sums.Top1},
		{"sums.top5", m.Sums.Top5},
	} {
		if c.value < 0 {
			fail("%s: %d is negative", c.name, c.value)
		}
	}
	if !isFinite(m.Sums.Loss) {
		fail("sums.loss: %v is not finite", m.Sums.Loss)
	}
	if s := m.LossScale; s != nil && (!isFinite(s.Factor) || s.Factor < 1 || s.GoodSteps < 0) {
		fail("loss_scale: %+v is not a factor of at least 1 and a number of steps", *s)
	}
	if m.Val != nil && !m.Val.isFinite() {
		fail("val: %+v is not finite", *m.Val)
	}
	if m.Best != nil && !m.Best.Score.isFinite() {
		fail("best: %+v is not finite", m.Best.Score)
	}
	return errors.Join(problems...)
}

func (s Score) isFinite() bool { return isFinite(s.Loss) && isFinite(s.Top1) && isFinite(s.Top5) }

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// The manifest ends with its own SHA-256, taken over all bytes before sealHead.
const (
	sealHead = ",\n  \"sha256\": \""
	sealTail = "\"\n}\n"
)

// encode is the text of manifest.json.
func (m Manifest) encode() ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, err
	}
	return seal(bytes.TrimSuffix(text.Bytes(), []byte("\n}\n"))), nil
}

// seal closes the JSON object whose text, but for the closing brace, is body.
func seal(body []byte) []byte {
	sum := sha256.Sum256(body)
	return slices.Concat(body, []byte(sealHead+hex.EncodeToString(sum[:])+sealTail))
}

// decodeManifest verifies the seal and reads the fields, refusing unknown ones.
func decodeManifest(text []byte) (Manifest, error) {
	const sealSize = len(sealHead) + 2*sha256.Size + len(sealTail)
	if len(text) < sealSize {
		return Manifest{}, fmt.Errorf("%d bytes long: truncated or no manifest", len(text))
	}
	body := text[:len(text)-sealSize]
	if !bytes.Equal(text, seal(body)) {
		return Manifest{}, errors.New("damaged or edited: its sha256 does not match")
	}
	object := slices.Concat(body, []byte("}"))
	var version struct{ Format int }
	if err := json.Unmarshal(object, &version); err != nil { // also if more than one object stands here
		return Manifest{}, err
	}
	if version.Format != format {
		return Manifest{}, fmt.Errorf("format %d; this program reads format %d", version.Format, format)
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.DisallowUnknownFields()
	var m Manifest
	if err := dec.Decode(&m); err != nil {
		return Manifest{}, err
	}
	return m, m.check()
}
