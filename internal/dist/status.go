package dist

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// statusVariable names the folder of a job that Launch started.
const statusVariable = "SENET_STATUS_DIR"

// board is a folder in which the ranks of a job tell how far they are.
type board string

func newBoard() (board, error) {
	dir, err := os.MkdirTemp("", "senet-job-")
	if err != nil {
		return "", fmt.Errorf("folder of the job: %w", err)
	}
	return board(dir), nil
}

func (b board) remove() error { return os.RemoveAll(string(b)) }

// file of a rank, one of: out, err, cpus, pid, step.
func (b board) file(rank int, what string) string {
	return filepath.Join(string(b), fmt.Sprintf("%d.%s", rank, what))
}

// number reads a file that holds one; ok is false where there is none yet.
func (b board) number(rank int, what string) (n int64, ok bool) {
	text, err := os.ReadFile(b.file(rank, what))
	if err != nil {
		return 0, false
	}
	n, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// exits are the ranks that have ended, the first one first, as far as rank.sh has told.
func (b board) exits() []Exit {
	text, err := os.ReadFile(filepath.Join(string(b), "exits"))
	if err != nil {
		return nil
	}
	var es []Exit
	for line := range strings.Lines(string(text)) {
		var rank, code int
		if _, err := fmt.Sscanf(line, "%d %d\n", &rank, &code); err == nil {
			es = append(es, exitOf(rank, code))
		}
	}
	return es
}

// step is the last one that a rank told, or -1.
func (b board) step(rank int) int64 {
	if n, ok := b.number(rank, "step"); ok {
		return n
	}
	return -1
}

// Status is where a rank tells the process that launched it how far it is. A nil Status tells nobody.
type Status struct{ file *os.File }

// OpenStatus finds the place in the variables that Launch sets; it is nil where Launch did not start this rank.
func OpenStatus(getenv func(string) string, w World) (*Status, error) {
	dir := getenv(statusVariable)
	if dir == "" {
		return nil, nil
	}
	file, err := os.Create(board(dir).file(w.Rank, "step"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statusVariable, err)
	}
	return &Status{file}, nil
}

// Step tells that step n has ended. Where that cannot be told, nobody learns of it.
func (s *Status) Step(n int64) {
	if s != nil {
		// Of one width, so that the number that was there is gone.
		_, _ = s.file.WriteAt(fmt.Appendf(nil, "%-20d", n), 0)
	}
}

// Close ends the telling.
func (s *Status) Close() error {
	if s == nil {
		return nil
	}
	return s.file.Close()
}
