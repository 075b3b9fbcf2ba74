package dist

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWatchdogFiresOnce(t *testing.T) {
	var out bytes.Buffer
	fired := make(chan bool, 2)
	d := NewWatchdog(10*time.Millisecond, &out, func() { fired <- true })
	<-fired
	d.Beat()
	time.Sleep(50 * time.Millisecond)
	if len(fired) > 0 {
		t.Error("it fires again")
	}
	for _, want := range []string{"no progress for 10ms; the goroutines:\n\ngoroutine ", "TestWatchdogFiresOnce", "(*Watchdog).bark"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	d.Stop()
}

// TestWatchdogIsKeptQuiet: it does not fire while there are beats, after Stop, nor without a limit.
func TestWatchdogIsKeptQuiet(t *testing.T) {
	var mu sync.Mutex
	var fired []string
	watch := func(name string, limit time.Duration) *Watchdog {
		return NewWatchdog(limit, &bytes.Buffer{}, func() {
			mu.Lock()
			defer mu.Unlock()
			fired = append(fired, name)
		})
	}
	// Long against how late a beat may be.
	beaten, stopped, unlimited := watch("with beats", 600*time.Millisecond), watch("stopped", 20*time.Millisecond), watch("without a limit", 0)
	stopped.Stop()
	for range 40 {
		time.Sleep(20 * time.Millisecond)
		beaten.Beat()
		unlimited.Beat()
	}
	beaten.Stop()
	unlimited.Stop()
	mu.Lock()
	defer mu.Unlock()
	if len(fired) > 0 {
		t.Errorf("fired: %v", fired)
	}
}
