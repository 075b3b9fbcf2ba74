package cli

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/dist"
	"senet/internal/model"
	"senet/internal/report"
	"senet/internal/train"
	"senet/internal/weights"
)

// Exit codes. Schedulers treat 128 and up as worth a retry.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2 // usage or config
	exitBadData  = 3 // data or checkpoint
	exitNoDevice = 4
	exitDiverged = 5
	exitLost     = dist.CodeLost // the device, or another rank
	exitSignal   = 128           // plus the number of the signal that stopped the command: 130 for SIGINT, 143 for SIGTERM
)

// errUsage marks a wrong command line.
var errUsage = errors.New("usage")

// exitCode maps an error to the process's exit code; sig is the signal that came, or 0. A training
// that could not save its state when it was stopped fails like any other.
func exitCode(err error, sig syscall.Signal) int {
	if err == nil {
		return exitOK
	}
	if sig != 0 && (errors.Is(err, train.ErrStopped) || errors.Is(err, context.Canceled)) {
		return exitSignal + int(sig)
	}
	var ended *endedError
	if errors.As(err, &ended) {
		return ended.Status()
	}
	for _, c := range []struct {
		target error
		code   int
	}{
		{backend.ErrDeviceLost, exitLost}, // first: what else is wrong may follow from it
		{backend.ErrRankLost, exitLost},
		{dist.ErrLost, exitLost},
		{dist.ErrEnvironment, exitUsage},
		{dist.ErrDisagree, exitUsage},
		{dist.ErrNoMPI, exitNoDevice},
		{errUsage, exitUsage},
		{config.ErrConfig, exitUsage},
		{model.ErrUnknown, exitUsage},
		{train.ErrTaken, exitUsage},
		{train.ErrChanged, exitUsage},
		{data.ErrBadData, exitBadData},
		{checkpoint.ErrBad, exitBadData},
		{report.ErrBadRecord, exitBadData},
		{weights.ErrUnfitting, exitBadData},
		{backend.ErrNoDevice, exitNoDevice},
		{train.ErrDiverged, exitDiverged},
	} {
		if errors.Is(err, c.target) {
			return c.code
		}
	}
	return exitFailure
}

// message is what the user reads of an error; the lines after its first are indented.
func message(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	return indent(err.Error())
}

// indent moves the lines after the first to the right.
func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }
