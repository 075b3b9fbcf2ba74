package dist

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	joinLimit  = 10 * time.Minute // for hosts that start one after the other, where the context sets no deadline
	helloLimit = 10 * time.Second // for what connects to say who it is
	retryPause = 200 * time.Millisecond
)

// meet joins the ranks of w over TCP.
func meet(ctx context.Context, w World, p pace) (*star, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, joinLimit)
		defer cancel()
	}
	s := newStar(w, p)
	join := s.connect
	if w.Rank == 0 {
		join = s.host
	}
	if err := join(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// digest tells the job from others that use the same port.
func (w World) digest() [sha256.Size]byte { return sha256.Sum256([]byte(w.Master + "\n" + w.Job)) }

// host waits, as rank 0, until all others have connected.
func (s *star) host(ctx context.Context) error {
	s.peers = make([]*peer, s.world.Size)
	address, err := listenAt(s.world.Master)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("rank 0 cannot listen for the others: %w", err)
	}
	defer listener.Close() //nolint:errcheck // nobody else is to come
	go func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(retryPause) // as where there are too many open files
				continue
			}
			go s.greet(conn)
		}
	}()
	select {
	case <-s.full:
	case <-ctx.Done():
		return fmt.Errorf("%w: %s", s.missing(), ended(ctx))
	}
	s.each(func(p *peer) {
		if err := p.send(frame{kind: welcomeFrame}); err != nil {
			s.fail(err)
		}
	})
	return nil
}

// listenAt keeps to the loopback interface where that is where the ranks meet.
func listenAt(master string) (string, error) {
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		return "", fmt.Errorf("where the ranks meet: %w", err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return master, nil
	}
	return ":" + port, nil
}

// ended says why the wait for others was over.
func ended(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "the time to wait is over"
	}
	return "the wait was cancelled"
}

// missing names the ranks that have not come.
func (s *star) missing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ranks []string
	for rank, p := range s.peers {
		if p == nil && rank > 0 {
			ranks = append(ranks, fmt.Sprint(rank))
		}
	}
	if most := 8; len(ranks) > most {
		ranks = append(ranks[:most], fmt.Sprintf("and %d more", len(ranks)-most))
	}
	return loss("of %d ranks these have not come to %s: %s", s.world.Size, s.world.Master, strings.Join(ranks, ", "))
}

// greet takes in a rank that connects, and nothing else.
func (s *star) greet(conn net.Conn) {
	reader := bufio.NewReader(conn)
	h, err := readHello(conn, reader)
	if err != nil {
		conn.Close() //nolint:errcheck // it is nothing of ours
		return
	}
	p := newPeer(conn, reader, int(h.rank), h.host, s.world.Size, s.pace)
	if err := s.admit(p, h); err != nil {
		_ = p.send(frame{refuseFrame, []byte(err.Error())})
		conn.Close() //nolint:errcheck // it has been told
	}
}

func readHello(conn net.Conn, reader *bufio.Reader) (hello, error) {
	if err := conn.SetReadDeadline(time.Now().Add(helloLimit)); err != nil {
		return hello{}, err
	}
	f, err := readFrame(reader, 1)
	if err != nil {
		return hello{}, err
	}
	if f.kind != helloFrame {
		return hello{}, errStray
	}
	return parseHello(f.body)
}

// admit says why a rank cannot join.
func (s *star) admit(p *peer, h hello) error {
	switch {
	case h.version != protocol:
		return fmt.Errorf("another version of senet runs there: protocol %d, here %d", h.version, protocol)
	case h.job != s.world.digest():
		return errors.New("it is a rank of another job, which meets at the same port")
	case int64(h.size) != int64(s.world.Size):
		return fmt.Errorf("it is one of %d ranks, here are %d", h.size, s.world.Size)
	case h.rank == 0 || h.rank >= h.size:
		return fmt.Errorf("rank %d of %d", h.rank, h.size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.peers[p.rank]; other != nil {
		return fmt.Errorf("%s is here already", other)
	}
	s.peers[p.rank] = p
	s.start(p)
	for _, p := range s.peers[1:] {
		if p == nil {
			return nil
		}
	}
	if s.joining {
		s.joining = false
		close(s.full)
	}
	return nil
}

// connect looks for rank 0 until it is there and all others are.
func (s *star) connect(ctx context.Context) error {
	for {
		again, err := s.try(ctx)
		if err == nil || !again {
			return err
		}
		select {
		case <-ctx.Done():
			return loss("rank 0 at %s: %v: %s", s.world.Master, err, ended(ctx))
		case <-time.After(retryPause):
		}
	}
}

// try connects once; again says whether a failure may be over soon.
func (s *star) try(ctx context.Context) (again bool, err error) {
	conn, err := (&net.Dialer{Timeout: helloLimit}).DialContext(ctx, "tcp", s.world.Master)
	if err != nil {
		return true, err
	}
	host, _, _ := net.SplitHostPort(s.world.Master)
	p := newPeer(conn, bufio.NewReader(conn), 0, host, s.world.Size, s.pace)
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // welcomed then says why it fails
	defer stop()
	h := hello{protocol, uint32(s.world.Size), uint32(s.world.Rank), s.world.digest(), s.world.Host}
	if err := p.send(frame{helloFrame, h.body()}); err != nil {
		return true, errors.Join(err, conn.Close())
	}
	beating := make(chan struct{})
	go p.beats(beating)
	again, err = p.welcomed()
	close(beating)
	if err != nil {
		conn.Close() //nolint:errcheck // err says more
		return again, err
	}
	s.peers, s.joining = []*peer{p}, false
	s.start(p)
	return false, nil
}

// welcomed waits for the others; again says whether rank 0 may only have been about to end or to start.
func (p *peer) welcomed() (again bool, err error) {
	for {
		f, err := p.next()
		switch {
		case err != nil:
			return true, err
		case f.kind == welcomeFrame:
			return false, nil
		case f.kind == refuseFrame:
			return false, fmt.Errorf("%s refuses this rank: %s", p, f.body)
		case f.kind != beatFrame:
			return false, fmt.Errorf("%s sends a frame of kind %d before it welcomes this rank", p, f.kind)
		}
	}
}
