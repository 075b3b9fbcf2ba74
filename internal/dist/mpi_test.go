package dist

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"senet/internal/backend"
)

var _ backend.Collective = (*MPI)(nil)

func init() {
	scenarios["sums"] = sumsScenario
	scenarios["gather"] = gatherScenario
	scenarios["aborts"] = abortsScenario
	scenarios["lingers"] = lingersScenario
}

// sumLengths reach all algorithms of the libraries: for short, middle and long vectors, and such that ranks cannot share equally.
var sumLengths = []int{1, 2, 3, 5, 64, 1000, 4099, 16384, 70001, 1<<20 + 7}

// awkward are numbers of which a sum depends on the order.
func awkward(rank, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Ldexp(1+float64((i*7919+rank*104729)%1000)/999, (i*31+rank*17)%24-12))
		if (i+rank)%3 == 0 {
			x[i] = -x[i]
		}
	}
	return x
}

// sumsScenario: many sums are begun before the first is waited for, while messages travel; each is right, and the same on all ranks.
func sumsScenario(r *rank) int {
	m, err := OpenMPI(context.Background(), r.World)
	if err != nil {
		return r.fail("%v", err)
	}
	gathered := make(chan error, 1)
	go func() {
		for i := range 20 {
			all, err := m.Gather([]byte(fmt.Sprint(i, " of ", r.Rank)))
			for rank, text := range all {
				if want := fmt.Sprint(i, " of ", rank); string(text) != want && err == nil {
					err = fmt.Errorf("message %q, want %q", text, want)
				}
			}
			if err != nil {
				gathered <- err
				return
			}
		}
		gathered <- nil
	}()
	var vectors [][]float32
	var waits []func() error
	for range 3 {
		for _, n := range sumLengths {
			x := awkward(r.Rank, n)
			vectors, waits = append(vectors, x), append(waits, m.Sum(x))
		}
	}
	digest := sha256.New()
	for i, wait := range waits {
		if err := wait(); err != nil {
			return r.fail("%v", err)
		}
		if err := checkSum(vectors[i], r.Size); err != nil {
			return r.fail("%v", err)
		}
		if err := binary.Write(digest, binary.LittleEndian, vectors[i]); err != nil {
			return r.fail("%v", err)
		}
	}
	if err := m.Sum(nil)(); err != nil {
		return r.fail("an empty sum: %v", err)
	}
	if err := <-gathered; err != nil {
		return r.fail("%v", err)
	}
	if err := Agree(m, map[string]string{"bits": fmt.Sprintf("%x", digest.Sum(nil))}); err != nil {
		return r.fail("%v", err)
	}
	if err := m.Close(); err != nil {
		return r.fail("%v", err)
	}
	if err := m.Sum(make([]float32, 1))(); err == nil {
		return r.fail("a sum after Close succeeds")
	}
	fmt.Printf("rank %d of %d is done\n", r.Rank, r.Size)
	return 0
}

// checkSum compares with sums in float64.
func checkSum(x []float32, ranks int) error {
	want, scale := make([]float64, len(x)), make([]float64, len(x))
	for rank := range ranks {
		for i, v := range awkward(rank, len(x)) {
			want[i] += float64(v)
			scale[i] += math.Abs(float64(v))
		}
	}
	for i := range x {
		if !(math.Abs(float64(x[i])-want[i]) <= scale[i]*float64(ranks)*0x1p-24) {
			return fmt.Errorf("element %d of %d: %v, want %v", i, len(x), x[i], want[i])
		}
	}
	return nil
}

func TestMPISums(t *testing.T) {
	eachMPI(t, func(t *testing.T, kind string) {
		for _, n := range []int{1, 2, 3, 4} {
			code, out := mpirun(t, kind, n, "sums")
			if code != 0 || strings.Count(out, fmt.Sprintf("of %d is done", n)) != n {
				t.Errorf("%d ranks: exit code %d\n%s", n, code, out)
			}
		}
	})
}

// message is what a rank sends: lengths differ, and some are empty.
func message(rank int) []byte { return bytes.Repeat([]byte{byte(rank + 1)}, rank*rank*1000) }

func gatherScenario(r *rank) int {
	m, err := OpenMPI(context.Background(), r.World)
	if err != nil {
		return r.fail("%v", err)
	}
	fmt.Println(MPILibrary())
	all, err := m.Gather(message(r.Rank))
	if err != nil || len(all) != r.Size {
		return r.fail("%d messages, %v", len(all), err)
	}
	for rank, have := range all {
		if !bytes.Equal(have, message(rank)) {
			return r.fail("%d bytes of rank %d, or others than it sent", len(have), rank)
		}
	}
	if _, err := m.Gather(make([]byte, maxMessage+1)); err == nil {
		return r.fail("a message that is too long is sent")
	}
	facts := map[string]string{"same": "x", "seed": "1"}
	if r.Rank == 1 {
		facts["seed"] = "2"
	}
	fmt.Println("agree:", Agree(m, facts))
	if err := m.Close(); err != nil {
		return r.fail("%v", err)
	}
	return 0
}

func TestMPIGather(t *testing.T) {
	eachMPI(t, func(t *testing.T, kind string) {
		code, out := mpirun(t, kind, 4, "gather")
		host, _ := os.Hostname()
		want := fmt.Sprintf(`agree: ranks disagree: rank 1 on %s has seed "2", rank 0 on %s has "1"`+"\n", host, host)
		if version := map[string]string{"openmpi": "Open MPI v5.0.11 \n", "mpich": "MPICH 5.0.2 \n"}[kind]; strings.Count(out, version) != 4 {
			t.Errorf("no %q in\n%s", version, out)
		}
		if code != 0 || strings.Count(out, want) != 4 {
			t.Errorf("exit code %d, want 0 and from each rank %q\n%s", code, want, out)
		}
	})
}

// abortsScenario: a rank aborts the job with the exit code that it is told, while the others wait for it.
func abortsScenario(r *rank) int {
	m, err := OpenMPI(context.Background(), r.World)
	if err != nil {
		return r.fail("%v", err)
	}
	if _, err := m.Gather(nil); err != nil {
		return r.fail("%v", err)
	}
	code, err := strconv.Atoi(r.arg)
	if err != nil {
		return r.fail("%v", err)
	}
	if r.Rank == 1 {
		if err := m.Abort(code); err != nil {
			return r.fail("%v", err)
		}
		return code
	}
	_, err = m.Gather(nil)
	return r.fail("this rank goes on: %v", err)
}

func TestMPIAbort(t *testing.T) {
	eachMPI(t, func(t *testing.T, kind string) {
		if code, out := mpirun(t, kind, 3, "aborts 5"); code != 5 || strings.Contains(out, "FAIL") {
			t.Errorf("exit code %d, want 5\n%s", code, out)
		}
	})
}

// lingersScenario: rank 1 leaves, and rank 0 only much later.
func lingersScenario(r *rank) int {
	m, err := OpenMPI(context.Background(), r.World)
	if err != nil {
		return r.fail("%v", err)
	}
	if r.Rank == 0 {
		time.Sleep(time.Minute)
		return r.fail("this rank is not ended")
	}
	m.limit = time.Second
	if err := m.Close(); err == nil {
		return r.fail("Close succeeds while the other rank has not come to its end")
	}
	return 7
}

func TestMPICloseIsBounded(t *testing.T) {
	code, out := mpirun(t, "openmpi", 2, "lingers")
	if code != 7 || strings.Contains(out, "FAIL") {
		t.Errorf("exit code %d, want 7\n%s", code, out)
	}
}

func TestMPIThatDoesNotFit(t *testing.T) {
	mpiRoot(t, "mpich")
	if _, err := OpenMPI(t.Context(), World{Size: 2, By: ByTorchrun}); err == nil || !strings.Contains(err.Error(), "torchrun") {
		t.Errorf("ranks of torchrun: %v", err)
	}
	libc := filepath.Join(t.TempDir(), "libmpi.so")
	if err := os.WriteFile(libc, bytes.Repeat([]byte("INPUT(libmpi.so.12)"), 100), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		libc: "invalid ELF header", "libc.so.6": "has no function MPI_Init_thread", "libnone.so": "cannot open",
	} {
		if _, err := openAt(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestMPIInterfaces compares the constants of mpi.c with those of the libraries' own mpi.h.
func TestMPIInterfaces(t *testing.T) {
	for kind, library := range map[string]string{"openmpi": "libmpi.so.40", "mpich": "libmpi.so.12"} {
		root := mpiRoot(t, kind)
		library = filepath.Join(root, "lib", library)
		program := filepath.Join(t.TempDir(), "constants")
		build := exec.CommandContext(
			t.Context(), "cc", "-fPIC", "-o", program, "-I"+filepath.Join(root, "include"), "-DMPI_LIBRARY="+strconv.Quote(library), "-DMPI_H="+strconv.Quote(filepath.Join(root, "include/mpi.h")),
			"testdata/constants.c", library, "-ldl", "-Wl,-rpath,"+filepath.Join(root, "lib"),
		)
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", kind, err, out)
			continue
		}
		if out, err := exec.CommandContext(t.Context(), program).CombinedOutput(); err != nil || !strings.Contains(string(out), ": 0 of 10 differ") {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
	}
}
