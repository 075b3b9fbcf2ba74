package report

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"
)

// event is what the reader below, written from the formats' descriptions, finds in a record.
type event struct {
	time    float64
	step    int
	version string
	started bool
	scalars map[string]float32
}

// crc32c is CRC-32C bit by bit.
func crc32c(data []byte) uint32 {
	c := ^uint32(0)
	for _, b := range data {
		c ^= uint32(b)
		for range 8 {
			if c&1 == 1 {
				c = c>>1 ^ 0x82f63b78
			} else {
				c >>= 1
			}
		}
	}
	return ^c
}

func unmask(c uint32) uint32 {
	c -= 0xa282ead8
	return c>>17 | c<<15
}

// records splits a TFRecord file and checks its checksums.
func records(b []byte) ([][]byte, error) {
	var all [][]byte
	for len(b) > 0 {
		n := int(binary.LittleEndian.Uint64(b))
		if c := unmask(binary.LittleEndian.Uint32(b[8:])); c != crc32c(b[:8]) {
			return nil, fmt.Errorf("checksum of the length is %x", c)
		}
		data := b[12 : 12+n]
		if c := unmask(binary.LittleEndian.Uint32(b[12+n:])); c != crc32c(data) {
			return nil, fmt.Errorf("checksum of the data is %x", c)
		}
		all, b = append(all, data), b[16+n:]
	}
	return all, nil
}

// message calls f with each field of a protobuf message: its number and its varint, fixed or delimited bytes.
func message(b []byte, f func(field int, x uint64, data []byte) error) error {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		b = b[n:]
		var x uint64
		var data []byte
		switch key & 7 {
		case 0:
			x, n = binary.Uvarint(b)
		case 1:
			x, n = binary.LittleEndian.Uint64(b), 8
		case 2:
			size, at := binary.Uvarint(b)
			n = at + int(size)
			data = b[at:n]
		case 5:
			x, n = uint64(binary.LittleEndian.Uint32(b)), 4
		default:
			return fmt.Errorf("wire type %d", key&7)
		}
		if err := f(int(key>>3), x, data); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func parseEvent(b []byte) (e event, err error) {
	e.scalars = map[string]float32{}
	err = message(b, func(field int, x uint64, data []byte) error {
		switch field {
		case 1:
			e.time = math.Float64frombits(x)
		case 2:
			e.step = int(x)
		case 3:
			e.version = string(data)
		case 5:
			return message(data, func(_ int, _ uint64, data []byte) error {
				var tag string
				return message(data, func(field int, x uint64, data []byte) error {
					if field == 1 {
						tag = string(data)
					} else {
						e.scalars[tag] = math.Float32frombits(uint32(x))
					}
					return nil
				})
			})
		case 7:
			return message(data, func(field int, x uint64, _ []byte) error {
				e.started = field == 1 && x == 1
				return nil
			})
		}
		return nil
	})
	return e, err
}

// eventsOf reads an event file.
func eventsOf(t *testing.T, dir, name string) []event {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	rs, err := records(b)
	if err != nil {
		t.Fatal(err)
	}
	var es []event
	for _, r := range rs {
		e, err := parseEvent(r)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	return es
}

func eventFile(t *testing.T, unix int64) string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return "events.out.tfevents." + strconv.FormatInt(unix, 10) + "." + host + "." + strconv.Itoa(os.Getpid()) + ".0"
}

func TestTensorBoardHoldsEveryScalarByGlobalStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run", "tensorboard")
	clock := &at{time.Unix(1700000000, 500000000)}
	tb, err := NewTensorBoard(dir)
	if err != nil {
		t.Fatal(err)
	}
	tb.now = clock.now
	train(t, tb, clock)
	es := eventsOf(t, dir, eventFile(t, 1700000000))
	if len(es) != 1+12+2 {
		t.Fatalf("have %d events, want the version, 12 steps and 2 epochs", len(es))
	}
	for i, want := range map[int]event{
		0:  {time: 1700000000.5, version: "brain.Event:2", scalars: map[string]float32{}},
		1:  {time: 1700000004.5, step: 1, scalars: map[string]float32{"train/loss": 1, "train/lr": 0.125, "train/top1": 5, "train/images_per_second": 25}},
		7:  {time: 1700000026.5, step: 6, scalars: map[string]float32{"val/loss": 0.25, "val/top1": 90, "val/top5": 99}},
		13: {time: 1700000050.5, step: 12, scalars: map[string]float32{"train/loss": 1.0 / 12, "train/lr": 0.125, "train/top1": 60, "train/images_per_second": 25}},
	} {
		if !reflect.DeepEqual(es[i], want) {
			t.Errorf("event %d: have %+v, want %+v", i, es[i], want)
		}
	}
}

func TestResumedRunTellsTensorBoardWhatToForget(t *testing.T) {
	dir := t.TempDir()
	tb, err := NewTensorBoard(dir)
	if err != nil {
		t.Fatal(err)
	}
	tb.now = func() time.Time { return time.Unix(1, 0) }
	if err := tb.Step(Step{}); err == nil {
		t.Error("a step before the start is no error")
	}
	if err := errors.Join(tb.Start(Run{StartStep: 300}), tb.Step(Step{GlobalStep: 301, Loss: math.NaN(), StepTime: time.Second}), tb.Close()); err != nil {
		t.Fatal(err)
	}
	es := eventsOf(t, dir, eventFile(t, 1))
	if len(es) != 3 || !es[1].started || es[1].step != 301 {
		t.Fatalf("have %+v, want a session's start at step 301", es)
	}
	loss, ok := es[2].scalars["train/loss"]
	if _, top1 := es[2].scalars["train/top1"]; top1 || !ok || loss == loss {
		t.Errorf("a skipped step has %v, want the loss NaN and no accuracy", es[2].scalars)
	}
}

func TestTensorBoardFailsWhereItCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewTensorBoard(file); err == nil {
		t.Error("a file in the folder's place is no error")
	}
	tb, err := NewTensorBoard(filepath.Join(t.TempDir(), "gone"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tb.Close(), os.Remove(tb.dir)); err != nil {
		t.Fatal(err)
	}
	if err := tb.Start(Run{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("have error %v, want that the folder is gone", err)
	}
}
