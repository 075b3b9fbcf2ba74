package dist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pace is how soon a rank that vanishes is noticed.
type pace struct {
	beat  time.Duration // between signs of life
	limit time.Duration // without one, after which a rank counts as gone
}

// Three signs of life may be lost, or be late on a host that is busy.
var usualPace = pace{beat: 5 * time.Second, limit: 20 * time.Second}

// peer is the other end of a connection: any other rank for rank 0, and rank 0 for any other.
type peer struct {
	rank int
	host string
	size int // ranks of the job
	pace pace

	conn   net.Conn
	reader *bufio.Reader
	write  sync.Mutex
	frames chan frame    // what Gather waits for: a rank sends no more than one before it gets an answer
	left   chan struct{} // closed when listen has returned
	end    error         // what it returned; read once left is closed
}

func newPeer(conn net.Conn, reader *bufio.Reader, rank int, host string, size int, p pace) *peer {
	return &peer{rank: rank, host: host, size: size, pace: p, conn: conn, reader: reader, frames: make(chan frame, 1), left: make(chan struct{})}
}

// String names the peer in errors.
func (p *peer) String() string {
	if p.host == "" {
		return fmt.Sprintf("rank %d", p.rank)
	}
	return fmt.Sprintf("rank %d on %s", p.rank, p.host)
}

// send writes a frame, which cannot take longer than the limit.
func (p *peer) send(f frame) error {
	p.write.Lock()
	defer p.write.Unlock()
	if err := p.conn.SetWriteDeadline(time.Now().Add(p.pace.limit)); err != nil {
		return p.gone(err)
	}
	if err := writeFrame(p.conn, f); err != nil {
		return p.gone(err)
	}
	return nil
}

// next is the peer's next frame, for which it has no longer than the limit.
func (p *peer) next() (frame, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(p.pace.limit)); err != nil {
		return frame{}, p.gone(err)
	}
	f, err := readFrame(p.reader, p.size)
	if err != nil {
		return frame{}, p.gone(err)
	}
	return f, nil
}

// listen takes frames until the connection ends, and says why it did. A nil error means that the peer left in order.
func (p *peer) listen() error {
	for {
		f, err := p.next()
		if err != nil {
			return err
		}
		switch f.kind {
		case beatFrame:
		case byeFrame:
			return nil
		case lostFrame:
			return loss("%s", f.body)
		default:
			select {
			case p.frames <- f:
			default:
				return fmt.Errorf("%s sends out of turn", p)
			}
		}
	}
}

// beats sends signs of life until stop is closed.
func (p *peer) beats(stop <-chan struct{}) {
	ticker := time.NewTicker(p.pace.beat)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			if p.send(frame{kind: beatFrame}) != nil {
				return // listen says more
			}
		}
	}
}

// leave says goodbye and waits for the peer's, so that nothing that is still on its way to it is lost.
func (p *peer) leave(until time.Time) {
	if p.send(frame{kind: byeFrame}) == nil {
		select {
		case <-p.left:
		case <-time.After(time.Until(until)):
		}
	}
	p.conn.Close() //nolint:errcheck // nothing is to be sent any more
}

// gone is the loss of the peer.
func (p *peer) gone(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return loss("%s: no sign of life for %s", p, p.pace.limit)
	case errors.Is(err, io.EOF):
		return loss("%s: it has ended", p)
	}
	return loss("%s: %v", p, err)
}

// lossError says which rank is gone, and how that was seen.
type lossError struct{ text string }

func loss(format string, args ...any) error { return &lossError{fmt.Sprintf(format, args...)} }

func (l *lossError) Error() string { return ErrLost.Error() + ": " + l.text }
func (l *lossError) Unwrap() error { return ErrLost }
