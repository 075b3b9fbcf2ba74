package report

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// TensorBoard writes a run's scalars and the histograms of its gates as a TensorBoard event file, by global step.
type TensorBoard struct {
	dir string
	now func() time.Time
	f   *os.File // nil until Start
}

// NewTensorBoard makes the folder dir if need be. Every attempt of a run writes a file of its
// own there; TensorBoard shows them as one.
func NewTensorBoard(dir string) (*TensorBoard, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	return &TensorBoard{dir: dir, now: time.Now}, nil
}

// Start makes the event file. A resumed run tells TensorBoard to forget later steps.
func (t *TensorBoard) Start(r Run) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	path := filepath.Join(t.dir, fmt.Sprintf("events.out.tfevents.%d.%s.%d.0", t.now().Unix(), host, os.Getpid()))
	if t.f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	if err := t.write(0, eventFileVersion, []byte("brain.Event:2")); err != nil || r.StartStep == 0 {
		return err
	}
	started := protowire.AppendVarint(protowire.AppendTag(nil, sessionLogStatus, protowire.VarintType), sessionStart)
	return t.write(r.StartStep+1, eventSessionLog, started)
}

// Step writes the scalars of train. A skipped step has a loss, NaN, but no accuracy.
func (t *TensorBoard) Step(s Step) error {
	values := []scalar{{"train/loss", s.Loss}, {"train/lr", s.LR}}
	if s.LossScale > 0 {
		values = append(values, scalar{"train/loss_scale", s.LossScale})
	}
	if finite(s.Loss) {
		values = append(values, scalar{"train/top1", s.Top1})
	}
	if s.StepTime > 0 {
		values = append(values, scalar{"train/images_per_second", float64(s.Images) / s.StepTime.Seconds()})
	}
	return t.scalars(s.GlobalStep, values...)
}

// Epoch writes the scalars of val, and a histogram of each stage's gates.
func (t *TensorBoard) Epoch(e Epoch) error {
	if err := t.scalars(e.GlobalStep, scalar{"val/loss", e.ValLoss}, scalar{"val/top1", e.ValTop1}, scalar{"val/top5", e.ValTop5}); err != nil {
		return err
	}
	var summary []byte
	for _, g := range e.Gates {
		h := protowire.AppendBytes(protowire.AppendTag(nil, valueHisto, protowire.BytesType), histogram(g.Values))
		summary = appendValue(summary, fmt.Sprintf("gates/stage%d", g.Stage), h)
	}
	if summary == nil {
		return nil
	}
	return t.write(e.GlobalStep, eventSummary, summary)
}

// Finish has nothing to add.
func (t *TensorBoard) Finish(Summary) error { return nil }

// Close closes the file.
func (t *TensorBoard) Close() error {
	if t.f == nil {
		return nil
	}
	return t.f.Close()
}

type scalar struct {
	tag   string
	value float64
}

// Field numbers of tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto.
const (
	eventWallTime    = 1
	eventStep        = 2
	eventFileVersion = 3
	eventSummary     = 5
	eventSessionLog  = 7

	sessionLogStatus = 1
	sessionStart     = 1 // SessionLog.START

	summaryValue = 1
	valueTag     = 1
	valueSimple  = 2
	valueHisto   = 5
)

func (t *TensorBoard) scalars(step int, values ...scalar) error {
	var summary []byte
	for _, v := range values {
		simple := protowire.AppendFixed32(protowire.AppendTag(nil, valueSimple, protowire.Fixed32Type), math.Float32bits(float32(v.value)))
		summary = appendValue(summary, v.tag, simple)
	}
	return t.write(step, eventSummary, summary)
}

// appendValue appends a Summary.Value to a Summary; field is its encoded simple_value or histo.
func appendValue(summary []byte, tag string, field []byte) []byte {
	b := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), tag)
	return protowire.AppendBytes(protowire.AppendTag(summary, summaryValue, protowire.BytesType), append(b, field...))
}

// write appends an Event whose one field, besides time and step, is what.
func (t *TensorBoard) write(step int, field protowire.Number, what []byte) error {
	if t.f == nil {
		return errors.New("tensorboard: an event before the run's start")
	}
	var b []byte
	b = protowire.AppendFixed64(protowire.AppendTag(b, eventWallTime, protowire.Fixed64Type), math.Float64bits(float64(t.now().UnixNano())/1e9))
	b = protowire.AppendVarint(protowire.AppendTag(b, eventStep, protowire.VarintType), uint64(step))
	b = protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), what)
	if _, err := t.f.Write(record(b)); err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record frames data as a TFRecord: length, its checksum, data, its checksum, little endian.
func record(data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(b))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(data))
}

// maskedCRC is the checksum of TFRecords: CRC-32C, rotated and offset so that data which holds
// its own checksum does not check trivially.
func maskedCRC(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
