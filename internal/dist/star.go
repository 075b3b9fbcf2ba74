package dist

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// star is a group over TCP: rank 0 has a connection to each other rank, and passes on what they send.
type star struct {
	world World
	pace  pace

	mu      sync.Mutex
	peers   []*peer // rank 0: by rank, nil at 0 and for those not here yet; else rank 0 alone
	joining bool    // until all are there a peer may come back
	err     error   // why the group can go on no longer

	full   chan struct{} // rank 0: closed when all are there
	failed chan struct{} // closed when err is set
	lost   chan error    // what Lost returns
	closed chan struct{}
}

func newStar(w World, p pace) *star {
	return &star{
		world: w, pace: p, joining: true,
		full: make(chan struct{}), failed: make(chan struct{}), lost: make(chan error, 1), closed: make(chan struct{}),
	}
}

func (s *star) Rank() int { return s.world.Rank }
func (s *star) Size() int { return s.world.Size }

// start begins to listen to a peer.
func (s *star) start(p *peer) {
	go p.beats(p.left)
	go func() {
		p.end = p.listen()
		close(p.left)
		s.ended(p)
	}()
}

// ended is told when a connection has ended.
func (s *star) ended(p *peer) {
	s.mu.Lock()
	joining := s.joining
	if joining { // this is rank 0
		s.peers[p.rank] = nil
		p.conn.Close() //nolint:errcheck // nobody is there
	}
	s.mu.Unlock()
	if p.end != nil && !joining {
		s.fail(p.end)
	}
}

// fail ends the group, and tells the other ranks why before this one can end.
func (s *star) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.left() {
		return
	}
	s.err = err
	if s.world.Rank == 0 {
		text := []byte(lossOf(err))
		s.each(func(p *peer) { _ = p.send(frame{lostFrame, text[:min(len(text), maxText)]}) })
	}
	close(s.failed)
	s.lost <- err
}

// left says whether Close was called.
func (s *star) left() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// lossOf is err without the words of ErrLost, which the other end adds.
func lossOf(err error) string {
	var l *lossError
	if errors.As(err, &l) {
		return l.text
	}
	return err.Error()
}

// each calls f for all peers at once.
func (s *star) each(f func(p *peer)) {
	var all sync.WaitGroup
	for _, p := range s.peers {
		if p != nil {
			all.Go(func() { f(p) })
		}
	}
	all.Wait()
}

// Gather implements Group.
func (s *star) Gather(mine []byte) ([][]byte, error) {
	if len(mine) > maxMessage {
		return nil, fmt.Errorf("gather: a message of %d bytes: want at most %d", len(mine), maxMessage)
	}
	messages, err := s.gather(mine)
	if err != nil {
		s.fail(err) // the other ranks wait for an answer
		return nil, err
	}
	return messages, nil
}

func (s *star) gather(mine []byte) ([][]byte, error) {
	if s.world.Rank != 0 {
		root := s.peers[0]
		if err := root.send(frame{mineFrame, mine}); err != nil {
			return nil, root.reason(err)
		}
		body, err := s.await(root, allFrame)
		if err != nil {
			return nil, err
		}
		return unpackAll(body, s.world.Size)
	}
	messages := make([][]byte, s.world.Size)
	messages[0] = append([]byte{}, mine...)
	for rank := 1; rank < s.world.Size; rank++ {
		var err error
		if messages[rank], err = s.await(s.peers[rank], mineFrame); err != nil {
			return nil, err
		}
	}
	all := frame{allFrame, packAll(messages)}
	return messages, s.sendAll(all)
}

// sendAll sends a frame to all peers before fail can tell them that one has ended, which that one may do once it has the frame.
func (s *star) sendAll(f frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, len(s.peers))
	s.each(func(p *peer) { errs[p.rank] = p.send(f) })
	return errors.Join(errs...)
}

// await is the body of the next frame of p, which must be of that kind. One that came before the group failed counts.
func (s *star) await(p *peer, kind byte) ([]byte, error) {
	var f frame
	var why error
	select {
	case f = <-p.frames:
	case <-p.left:
		if why = p.end; why == nil {
			why = loss("%s has left the job", p)
		}
	case <-s.failed:
		why = s.err
	case <-s.closed:
		why = errors.New("the group is closed")
	}
	if why != nil {
		select {
		case f = <-p.frames:
		default:
			return nil, why
		}
	}
	if f.kind != kind {
		return nil, fmt.Errorf("%s sends a frame of kind %d: want %d", p, f.kind, kind)
	}
	return f.body, nil
}

// reason is what the peer told before it ended, if it did, which says more than err.
func (p *peer) reason(err error) error {
	select {
	case <-p.left:
		if p.end != nil {
			return p.end
		}
	case <-time.After(p.pace.limit):
	}
	return err
}

// Close implements Group.
func (s *star) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left() {
		return nil
	}
	close(s.closed)
	until := time.Now()
	if s.err == nil {
		until = until.Add(s.pace.limit)
	}
	s.each(func(p *peer) { p.leave(until) })
	return nil
}
