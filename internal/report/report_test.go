package report

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// at is a clock that tests set.
type at struct{ time.Time }

func (c *at) now() time.Time { return c.Time }

// spy records the names of its events and fails each of them with err.
type spy struct {
	events []string
	err    error
}

func (s *spy) add(name string) error { s.events = append(s.events, name); return s.err }
func (s *spy) Start(Run) error       { return s.add("start") }
func (s *spy) Step(Step) error       { return s.add("step") }
func (s *spy) Epoch(Epoch) error     { return s.add("epoch") }
func (s *spy) Finish(Summary) error  { return s.add("finish") }
func (s *spy) Close() error          { return s.add("close") }

func TestTeePassesEveryEventOnAlthoughOneSinkFails(t *testing.T) {
	full := errors.New("disk full")
	bad, good := &spy{err: full}, &spy{}
	both := Tee(bad, good)
	for _, err := range []error{both.Start(Run{}), both.Step(Step{}), both.Epoch(Epoch{}), both.Finish(Summary{}), both.Close()} {
		if !errors.Is(err, full) {
			t.Errorf("have error %v, want the failing sink's", err)
		}
	}
	want := []string{"start", "step", "epoch", "finish", "close"}
	if !slices.Equal(good.events, want) || !slices.Equal(bad.events, want) {
		t.Errorf("have events %v and %v, want %v", bad.events, good.events, want)
	}
	if err := Tee(good).Step(Step{}); err != nil {
		t.Error(err)
	}
}

func TestNumbersAreFormattedForPeople(t *testing.T) {
	for have, want := range map[string]string{
		FormatBytes(0): "0 B", FormatBytes(1023): "1023 B", FormatBytes(1536): "1.50 KiB", FormatBytes(1 << 30): "1.00 GiB", FormatBytes(5 << 50): "5120.00 TiB",
		Thousands(7): "7", Thousands(999): "999", Thousands(1000): "1,000", Thousands(25557032): "25,557,032",
		formatDuration(1234 * time.Millisecond): "1.2s", formatDuration(80*time.Second + 400*time.Millisecond): "1m20s",
	} {
		if have != want {
			t.Errorf("have %q, want %q", have, want)
		}
	}
}
