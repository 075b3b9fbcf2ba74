package dist

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// quickPace notices a rank that is gone soon, and is slow against what may delay a goroutine.
var quickPace = pace{beat: 100 * time.Millisecond, limit: 2 * time.Second}

// master is a place on the loopback interface where nobody meets.
func master(t *testing.T) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// ranks are the worlds of n ranks that meet at a place of their own.
func ranks(t *testing.T, n int) []World {
	t.Helper()
	ws := make([]World, n)
	at := master(t)
	for i := range ws {
		ws[i] = World{Rank: i, Size: n, Host: fmt.Sprint("host", i), Master: at, By: ByTorchrun}
	}
	return ws
}

// met joins n ranks.
func met(t *testing.T, n int) []*star {
	t.Helper()
	stars, errs := make([]*star, n), make([]error, n)
	var all sync.WaitGroup
	for i, w := range ranks(t, n) {
		all.Go(func() { stars[i], errs[i] = meet(t.Context(), w, quickPace) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return stars
}

// together calls f for each rank at once, and returns their errors.
func together(stars []*star, f func(s *star) error) []error {
	errs := make([]error, len(stars))
	var all sync.WaitGroup
	for i, s := range stars {
		all.Go(func() { errs[i] = f(s) })
	}
	all.Wait()
	return errs
}

func TestTCPGather(t *testing.T) {
	for _, n := range []int{2, 5} {
		stars := met(t, n)
		errs := together(stars, func(s *star) error {
			for round := range 20 {
				all, err := s.Gather(message((s.Rank() + round) % n))
				if err != nil {
					return err
				}
				for rank, have := range all {
					if !bytes.Equal(have, message((rank+round)%n)) {
						return fmt.Errorf("round %d: rank %d has %d bytes of rank %d, or others than it sent", round, s.Rank(), len(have), rank)
					}
				}
				if len(all) != n || s.Size() != n {
					return fmt.Errorf("%d messages of %d ranks", len(all), s.Size())
				}
			}
			return errors.Join(s.Close(), s.Close())
		})
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		for _, s := range stars {
			if len(s.lost) > 0 {
				t.Errorf("rank %d: %v", s.Rank(), <-s.lost)
			}
		}
	}
}

func TestAgreeNamesTheOddRank(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		seeds []string // of each rank; "": it has none
		want  string
	}{
		{[]string{"1", "1", "1"}, ""},
		{[]string{"1", "1", "2"}, fmt.Sprintf(`rank 2 on %s has seed "2", rank 0 on %s has "1"`, host, host)},
		{[]string{"2", "1", "1"}, fmt.Sprintf(`rank 0 on %s has seed "2", rank 1 on %s has "1"`, host, host)},
		{[]string{"1", "2"}, fmt.Sprintf(`rank 1 on %s has seed "2", rank 0 on %s has "1"`, host, host)},
		{[]string{"1", "", "1"}, fmt.Sprintf(`rank 1 on %s has seed nothing, rank 0 on %s has "1"`, host, host)},
	} {
		errs := together(met(t, len(c.seeds)), func(s *star) error {
			facts := map[string]string{"config": "same"}
			if seed := c.seeds[s.Rank()]; seed != "" {
				facts["seed"] = seed
			}
			return errors.Join(Agree(s, facts), s.Close())
		})
		for rank, err := range errs {
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%q: rank %d: %v", c.seeds, rank, err)
			case c.want != "" && (!errors.Is(err, ErrDisagree) || err.Error() != "ranks disagree: "+c.want):
				t.Errorf("%q: rank %d: %v, want %q", c.seeds, rank, err, c.want)
			}
		}
	}
}

func TestAlone(t *testing.T) {
	g, err := Join(t.Context(), World{Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	all, err := g.Gather([]byte("x"))
	if err != nil || len(all) != 1 || string(all[0]) != "x" || g.Size() != 1 || g.Rank() != 0 || Lost(g) != nil {
		t.Errorf("gathered %q, %v", all, err)
	}
	if err := errors.Join(Agree(g, map[string]string{"a": "b"}), g.Close()); err != nil {
		t.Error(err)
	}
}

// TestTCPRankThatEnds: the others learn which it was, also between their calls.
func TestTCPRankThatEnds(t *testing.T) {
	for _, gone := range []int{0, 1, 2} {
		stars := met(t, 3)
		close(stars[gone].closed) // it can tell nothing any more
		for _, p := range stars[gone].peers {
			if p != nil {
				p.conn.Close()
			}
		}
		want := fmt.Sprintf("rank %d on host%d: it has ended", gone, gone)
		if gone == 0 {
			want = "rank 0 on 127.0.0.1: it has ended"
		}
		others := slices.DeleteFunc(slices.Clone(stars), func(s *star) bool { return s.Rank() == gone })
		for i, err := range together(others, func(s *star) error {
			told := <-Lost(s)
			_, err := s.Gather(nil)
			if told == nil || err == nil || told.Error() != err.Error() {
				return fmt.Errorf("told %v, Gather returns %w", told, err)
			}
			return err
		}) {
			if !errors.Is(err, ErrLost) || err.Error() != "lost a rank: "+want {
				t.Errorf("rank %d is gone: rank %d: %v, want %q", gone, others[i].Rank(), err, want)
			}
		}
		for _, s := range stars {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestTCPRankThatEndsAfterGather: what all have told comes before the news of it.
func TestTCPRankThatEndsAfterGather(t *testing.T) {
	for range 50 {
		s := newStar(World{Rank: 2, Size: 3}, quickPace)
		root := newPeer(nil, nil, 0, "", 3, quickPace)
		root.frames <- frame{allFrame, []byte("all")}
		root.end = loss("rank 1 has ended")
		close(root.left)
		s.peers = []*peer{root}
		s.joining = false
		s.ended(root)
		if body, err := s.await(root, allFrame); string(body) != "all" || err != nil {
			t.Fatalf("have %q, %v", body, err)
		}
		if _, err := s.await(root, allFrame); !errors.Is(err, ErrLost) {
			t.Fatalf("have %v, want that rank 1 has ended", err)
		}
	}
}

// TestTCPRankThatLeaves: one that leaves before the others call Gather is named as well.
func TestTCPRankThatLeaves(t *testing.T) {
	stars := met(t, 3)
	closed := make(chan error, 1)
	go func() { closed <- stars[1].Close() }()
	for rank, err := range together([]*star{stars[0], stars[2]}, func(s *star) error {
		_, err := s.Gather(nil)
		return err
	}) {
		if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "rank 1 on host1 has left the job") {
			t.Errorf("%d: %v", rank, err)
		}
	}
	if err := errors.Join(stars[0].Close(), stars[2].Close(), <-closed); err != nil {
		t.Error(err)
	}
}

// TestTCPRankThatFallsSilent: as a host does that vanishes.
func TestTCPRankThatFallsSilent(t *testing.T) {
	t.Parallel()
	ws := ranks(t, 3)
	stars := make([]*star, 3)
	var all sync.WaitGroup
	for _, rank := range []int{0, 2} {
		all.Go(func() {
			var err error
			if stars[rank], err = meet(t.Context(), ws[rank], quickPace); err != nil {
				t.Error(err)
			}
		})
	}
	conn := say(t, ws[0].Master, hello{protocol, 3, 1, ws[0].digest(), "quiet"})
	defer conn.Close()
	all.Wait()
	if t.Failed() {
		return
	}
	start := time.Now()
	for _, err := range together([]*star{stars[0], stars[2]}, func(s *star) error {
		_, err := s.Gather(nil)
		return errors.Join(err, s.Close())
	}) {
		if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "rank 1 on quiet: no sign of life for 2s") {
			t.Error(err)
		}
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("after %s", took)
	}
}

// say connects to rank 0 with a hello.
func say(t *testing.T, at string, h hello) net.Conn {
	t.Helper()
	for {
		conn, err := net.Dial("tcp", at)
		if err == nil {
			if err := writeFrame(conn, frame{helloFrame, h.body()}); err != nil {
				t.Error(err)
			}
			return conn
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// meeting lets w meet the other ranks meanwhile, and returns where its end of the job comes out.
func meeting(t *testing.T, w World) <-chan *star {
	out := make(chan *star, 1)
	go func() {
		s, err := meet(t.Context(), w, quickPace)
		if err != nil {
			t.Error(err)
		}
		out <- s
	}()
	return out
}

// TestTCPStrays: what is no rank of the job does not disturb those that are, and a rank is told why it cannot join.
func TestTCPStrays(t *testing.T) {
	ws := ranks(t, 2)
	root := meeting(t, ws[0])
	good := hello{protocol, 2, 1, ws[0].digest(), "stray"}
	for want, change := range map[string]func(h *hello){
		"another version of senet runs there: protocol 9, here 1": func(h *hello) { h.version = 9 },
		"another job":                      func(h *hello) { h.job[0]++ },
		"it is one of 3 ranks, here are 2": func(h *hello) { h.size = 3 },
		"rank 0 of 2":                      func(h *hello) { h.rank = 0 },
		"rank 2 of 2":                      func(h *hello) { h.rank = 2 },
	} {
		h := good
		change(&h)
		conn := say(t, ws[0].Master, h)
		f, err := readFrame(conn, 2)
		if err != nil || f.kind != refuseFrame || !strings.Contains(string(f.body), want) {
			t.Errorf("want %q, have kind %d, %q, %v", want, f.kind, f.body, err)
		}
		conn.Close()
	}
	for _, text := range []string{
		"GET / HTTP/1.1\r\n\r\n", "\x01\xff\xff\xff\xff", "\x01\x03\x00\x00\x00abc", "\x06\x00\x00\x00\x00", "\x01\x10\x00\x00\x00senet/dp",
	} {
		conn, err := net.Dial("tcp", ws[0].Master)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Error(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
		if answer, err := io.ReadAll(conn); err == nil && len(answer) > 0 {
			t.Errorf("%q is answered by %q", text, answer)
		}
		conn.Close()
	}
	s, err := meet(t.Context(), ws[1], quickPace)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(together([]*star{s, <-root}, func(s *star) error {
		_, err := s.Gather(nil)
		return errors.Join(err, s.Close())
	})...); err != nil {
		t.Error(err)
	}
}

// TestTCPRankComesAgain: before all are there a rank may start again, and two of the same are one too many.
func TestTCPRankComesAgain(t *testing.T) {
	ws := ranks(t, 3)
	root, hosted := newStar(ws[0], quickPace), make(chan error, 1)
	go func() { hosted <- root.host(t.Context()) }()
	h := hello{protocol, 3, 1, ws[0].digest(), "first"}
	say(t, ws[0].Master, h).Close()
	var conn net.Conn
	var refused frame
	for { // until rank 0 has noticed
		conn = say(t, ws[0].Master, h)
		f, err := readFrame(bufio.NewReader(conn), 3)
		if err != nil || f.kind != refuseFrame {
			break
		}
		refused = f
		conn.Close()
	}
	if len(refused.body) > 0 && string(refused.body) != "rank 1 on first is here already" {
		t.Errorf("refused: %s", refused.body)
	}
	if _, err := meet(t.Context(), ws[1], quickPace); err == nil || !strings.Contains(err.Error(), "refuses this rank: rank 1 on first is here already") {
		t.Errorf("the second of rank 1: %v", err)
	}
	conn.Close()
	there := func() bool {
		root.mu.Lock()
		defer root.mu.Unlock()
		return root.peers[1] != nil
	}
	for there() { // until rank 0 has noticed: else with rank 2 all are there
		time.Sleep(time.Millisecond)
	}
	stars, errs := []*star{root, nil, nil}, make([]error, 3)
	var all sync.WaitGroup
	for _, rank := range []int{1, 2} {
		all.Go(func() { stars[rank], errs[rank] = meet(t.Context(), ws[rank], quickPace) })
	}
	all.Wait()
	errs[0] = <-hosted
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		return
	}
	if err := errors.Join(together(stars, (*star).Close)...); err != nil {
		t.Error(err)
	}
}

func TestTCPNobodyComes(t *testing.T) {
	t.Parallel()
	const patience = 3 * time.Second // enough for rank 2 to come on a busy machine
	ws := ranks(t, 4)
	for _, c := range []struct {
		rank   int
		cancel bool
		want   string
	}{
		{0, false, "lost a rank: of 4 ranks these have not come to " + ws[0].Master + ": 1, 3: the time to wait is over"},
		{1, false, "rank 0 at " + ws[0].Master},
		{0, true, ": 1, 3: the wait was cancelled"},
		{1, true, "the wait was cancelled"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if c.cancel {
			ctx, cancel = context.WithCancel(t.Context())
		}
		if c.rank == 0 {
			go func() {
				conn := say(t, ws[0].Master, hello{protocol, 4, 2, ws[0].digest(), "b"})
				for f, err := readFrame(conn, 4); err == nil && f.kind == beatFrame; f, err = readFrame(conn, 4) {
					_ = writeFrame(conn, frame{kind: beatFrame})
				}
				conn.Close()
			}()
		}
		if c.cancel {
			time.AfterFunc(patience, cancel)
		}
		_, err := meet(ctx, ws[c.rank], quickPace)
		if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
		cancel()
	}
	ws[0].Master = "127.0.0.1:http2"
	if _, err := meet(t.Context(), ws[0], quickPace); err == nil {
		t.Error("rank 0 listens at no port")
	}
}

func TestTCPMessageIsTooLong(t *testing.T) {
	stars := met(t, 2)
	for _, s := range stars {
		if _, err := s.Gather(make([]byte, maxMessage+1)); err == nil || !strings.Contains(err.Error(), "at most 1048576") {
			t.Errorf("rank %d: %v", s.Rank(), err)
		}
	}
	errs := together(stars, func(s *star) error {
		all, err := s.Gather(bytes.Repeat([]byte{byte(s.Rank())}, maxMessage))
		if err == nil && (len(all[1]) != maxMessage || all[1][maxMessage-1] != 1) {
			err = errors.New("the longest message is not what was sent")
		}
		return errors.Join(err, s.Close())
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// FuzzFrames: whatever comes is refused or read, what is read is written as it came, and a length that is only claimed takes no memory.
func FuzzFrames(f *testing.F) {
	var sum bytes.Buffer
	for _, c := range []frame{
		{helloFrame, hello{protocol, 2, 1, World{}.digest(), "host"}.body()},
		{mineFrame, []byte("mine")},
		{allFrame, packAll([][]byte{{}, []byte("abc"), {1}})},
		{kind: beatFrame},
		{lostFrame, []byte("rank 2")},
	} {
		var b bytes.Buffer
		if err := writeFrame(io.MultiWriter(&b, &sum), c); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add(sum.Bytes())
	f.Add([]byte("\x05\xff\xff\x0f\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const size = 3
		r := bytes.NewReader(b)
		for {
			at := len(b) - r.Len()
			have, err := readFrame(r, size)
			if err != nil {
				return
			}
			if int64(len(have.body)) > maxBody(have.kind, size) {
				t.Fatalf("kind %d with %d bytes", have.kind, len(have.body))
			}
			var again bytes.Buffer
			if err := writeFrame(&again, have); err != nil || !bytes.Equal(again.Bytes(), b[at:len(b)-r.Len()]) {
				t.Fatalf("%q is read, and written as %q, %v", b, again.Bytes(), err)
			}
			switch have.kind {
			case helloFrame:
				if h, err := parseHello(have.body); err == nil && !bytes.Equal(h.body(), have.body) {
					t.Fatalf("%q is written as %q", have.body, h.body())
				}
			case allFrame:
				if all, err := unpackAll(have.body, size); err == nil && (len(all) != size || !bytes.Equal(packAll(all), have.body)) {
					t.Fatalf("%q is written as %q", have.body, packAll(all))
				}
			}
		}
	})
}
