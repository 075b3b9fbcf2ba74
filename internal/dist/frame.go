package dist

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A connection between rank 0 and another carries frames: a kind, the length of the body as a little-endian uint32, the body.
type frame struct {
	kind byte
	body []byte
}

const (
	helloFrame   byte = iota + 1 // to rank 0: who connects
	welcomeFrame                 // from rank 0, empty: all ranks are there
	refuseFrame                  // from rank 0: why the one who connects cannot join
	mineFrame                    // to rank 0: the message of a rank
	allFrame                     // from rank 0: the messages of all ranks
	beatFrame                    // empty: the sender lives
	lostFrame                    // from rank 0: which rank is gone
	byeFrame                     // empty: the sender leaves, all is well
)

const (
	frameHead = 5 // bytes

	maxMessage = 1 << 20 // bytes of one rank's message
	maxHello   = 1 << 12
	maxText    = 1 << 12 // of a refusal or loss
)

// maxBody is the most bytes that a frame of a kind has in a job of size ranks; -1: there is no such kind.
func maxBody(kind byte, size int) int64 {
	switch kind {
	case helloFrame:
		return maxHello
	case mineFrame:
		return maxMessage
	case allFrame:
		return int64(size) * (4 + maxMessage)
	case refuseFrame, lostFrame:
		return maxText
	case welcomeFrame, beatFrame, byeFrame:
		return 0
	}
	return -1
}

func writeFrame(w io.Writer, f frame) error {
	head := make([]byte, frameHead, frameHead+len(f.body))
	head[0] = f.kind
	binary.LittleEndian.PutUint32(head[1:], uint32(len(f.body)))
	_, err := w.Write(append(head, f.body...))
	return err
}

// readFrame allocates no more than what has come, whatever length the head claims.
func readFrame(r io.Reader, size int) (frame, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: head[0]}
	n, most := int64(binary.LittleEndian.Uint32(head[1:])), maxBody(f.kind, size)
	if n > most {
		return frame{}, fmt.Errorf("frame of kind %d and %d bytes: want at most %d", f.kind, n, most)
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, n); err != nil {
		return frame{}, fmt.Errorf("frame of kind %d breaks off: %w", f.kind, err)
	}
	f.body = body.Bytes()
	return f, nil
}

// hello tells rank 0 who connects.
type hello struct {
	version, size, rank uint32
	job                 [sha256.Size]byte // digest of what tells the job from others
	host                string
}

// protocol is the version of frames and their meaning.
const protocol = 1

// magic opens each hello, so that what strays to the port is told from ranks.
var magic = [8]byte{'s', 'e', 'n', 'e', 't', '/', 'd', 'p'}

func (h hello) body() []byte {
	b := append([]byte(nil), magic[:]...)
	for _, n := range []uint32{h.version, h.size, h.rank} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = append(b, h.job[:]...)
	return append(b, h.host[:min(len(h.host), maxHello-len(b))]...)
}

// errStray: what connected is no rank.
var errStray = errors.New("no rank of senet")

func parseHello(body []byte) (hello, error) {
	var h hello
	rest, ok := bytes.CutPrefix(body, magic[:])
	if !ok || len(rest) < 12+len(h.job) {
		return hello{}, errStray
	}
	for i, to := range []*uint32{&h.version, &h.size, &h.rank} {
		*to = binary.LittleEndian.Uint32(rest[4*i:])
	}
	copy(h.job[:], rest[12:])
	h.host = string(rest[12+len(h.job):])
	return h, nil
}

// packAll is the body of an allFrame: each rank's message behind its length.
func packAll(messages [][]byte) []byte {
	var b []byte
	for _, m := range messages {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(m)))
		b = append(b, m...)
	}
	return b
}

// unpackAll reads the messages of size ranks.
func unpackAll(body []byte, size int) ([][]byte, error) {
	messages := make([][]byte, size)
	for rank := range messages {
		if len(body) < 4 {
			return nil, fmt.Errorf("messages of %d ranks in place of %d", rank, size)
		}
		n := uint64(binary.LittleEndian.Uint32(body))
		if body = body[4:]; n > uint64(len(body)) {
			return nil, fmt.Errorf("message of rank %d: %d bytes in place of %d", rank, len(body), n)
		}
		messages[rank], body = body[:n:n], body[n:]
	}
	if len(body) > 0 {
		return nil, fmt.Errorf("%d bytes after the messages of %d ranks", len(body), size)
	}
	return messages, nil
}
