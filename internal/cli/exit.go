package cli

import (
	"errors"
	"syscall"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/model"
	"senet/internal/train"
)

// Exit codes. Schedulers treat 128 and up as worth a retry.
const (
	exitOK         = 0
	exitFailure    = 1
	exitUsage      = 2 // usage or config
	exitBadData    = 3 // data or checkpoint
	exitNoDevice   = 4
	exitDiverged   = 5
	exitDeviceLost = 6
	exitSignal     = 128 // plus the signal's number, when the state was saved first: 130 for SIGINT, 143 for SIGTERM
)

// errUsage marks a wrong command line.
var errUsage = errors.New("usage")

// exitCode maps an error to the process's exit code; sig is the signal that stopped the run, or 0.
func exitCode(err error, sig syscall.Signal) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, train.ErrStopped) && sig != 0 {
		return exitSignal + int(sig)
	}
	for _, c := range []struct {
		target error
		code   int
	}{
		{errUsage, exitUsage},
		{config.ErrConfig, exitUsage},
		{model.ErrUnknown, exitUsage},
		{train.ErrTaken, exitUsage},
		{data.ErrBadData, exitBadData},
		{checkpoint.ErrBad, exitBadData},
		{backend.ErrNoDevice, exitNoDevice},
		{train.ErrDiverged, exitDiverged},
		{backend.ErrDeviceLost, exitDeviceLost},
	} {
		if errors.Is(err, c.target) {
			return c.code
		}
	}
	return exitFailure
}
