package dist

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

// outputs join what the ranks of a job write.
type outputs struct {
	mu sync.Mutex // held for a write, so that lines stay whole
}

// of is where a rank's stdout or stderr goes that is to reach w. What rank 0 writes does as it is, by itself where w is a file, which may
// be a terminal.
func (o *outputs) of(rank int, w io.Writer) io.Writer {
	if rank == 0 {
		if file, ok := w.(*os.File); ok {
			return file
		}
		return &locked{mu: &o.mu, w: w}
	}
	return &lines{to: locked{mu: &o.mu, w: w}, prefix: fmt.Sprintf("[rank %d] ", rank)}
}

// locked writes while it holds the lock.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// lines puts a prefix before each line, and writes only whole ones.
type lines struct {
	to     locked
	prefix string
	part   []byte // a line that has no end yet
}

// longestLine is where a line without an end is cut.
const longestLine = 1 << 16

func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	for {
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		l.part = append(l.part, line...)
		if !ended && len(l.part) < longestLine {
			return n, nil
		}
		if err := l.flush(); err != nil {
			return n - len(b), err
		}
		if b = rest; len(b) == 0 {
			return n, nil
		}
	}
}

// flush writes the line so far.
func (l *lines) flush() error {
	_, err := l.to.Write(append(append([]byte(l.prefix), l.part...), '\n'))
	l.part = l.part[:0]
	return err
}

// end writes what is left of a rank's output.
func end(w io.Writer) error {
	if l, ok := w.(*lines); ok && len(l.part) > 0 {
		return l.flush()
	}
	return nil
}
