package cuda

// #cgo LDFLAGS: -lcuda
// #include "driver.h"
import "C"

import (
	"errors"
	"fmt"

	"gorgonia.org/cu"

	"senet/internal/backend"
)

// device is one GPU: its primary context, and the thread that it is current on. All that is allocated or created on it
// is used within do.
type device struct {
	name          string
	compute       int // compute capability: 10*major+minor
	sms           int // multiprocessors
	totalBytes    int64
	peakBandwidth float64 // of its memory in bytes/s, 0 where the driver does not say

	ordinal cu.Device
	thread  *thread
}

// openDevice opens the GPU that the driver lists at index. It wraps backend.ErrNoDevice where there is none that can be used.
func openDevice(index int) (*device, error) {
	if err := Probe().check(index); err != nil {
		return nil, err
	}
	d := &device{thread: newThread()}
	if err := d.do(func() error { return d.open(index) }); err != nil {
		return nil, errors.Join(err, d.thread.end(func() error { return nil }))
	}
	return d, nil
}

// check says why the device at index cannot be used.
func (d Driver) check(index int) error {
	problem := d.Problem
	switch {
	case problem != "":
	case index < 0 || index >= len(d.Devices):
		problem = fmt.Sprintf("the driver lists %d GPU(s), counted from cuda:0", len(d.Devices))
	default:
		problem = d.Devices[index].Problem
	}
	if problem == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", backend.ErrNoDevice, problem)
}

func (d *device) open(index int) (err error) {
	if d.ordinal, err = cu.GetDevice(index); err != nil {
		return wrap(fmt.Sprintf("find cuda:%d", index), err)
	}
	if d.name, err = d.ordinal.Name(); err != nil {
		return wrap("ask for the device's name", err)
	}
	if d.totalBytes, err = d.ordinal.TotalMem(); err != nil {
		return wrap("ask for the device's memory", err)
	}
	values := map[cu.DeviceAttribute]int{
		cu.ComputeCapabilityMajor: 0, cu.ComputeCapabilityMinor: 0, cu.MultiprocessorCount: 0,
		cu.MemoryClockRate: 0, cu.GlobalMemoryBusWidth: 0,
	}
	for a := range values {
		if values[a], err = d.ordinal.Attribute(a); err != nil {
			return wrap(fmt.Sprintf("ask for attribute %d of the device", a), err)
		}
	}
	d.compute = 10*values[cu.ComputeCapabilityMajor] + values[cu.ComputeCapabilityMinor]
	d.sms = values[cu.MultiprocessorCount]
	// kHz and bits, twice a clock.
	d.peakBandwidth = 2 * 1e3 * float64(values[cu.MemoryClockRate]) * float64(values[cu.GlobalMemoryBusWidth]) / 8
	context, err := d.ordinal.RetainPrimaryCtx()
	if err != nil {
		if err := wrap(fmt.Sprintf("open cuda:%d", index), err); !errors.Is(err, errBusy) {
			return err
		}
		return fmt.Errorf("%w: another process has it for itself, or its compute mode is Prohibited; see nvidia-smi", backend.ErrNoDevice)
	}
	if err := cu.SetCurrentContext(context); err != nil {
		return errors.Join(wrap("make the context current", err), wrap("release the context", d.ordinal.ReleasePrimaryCtx()))
	}
	return nil
}

// close releases the context, which cuDNN and NCCL may still hold: all memory has been freed. Closing twice does nothing.
func (d *device) close() error {
	return d.thread.end(func() error {
		return wrap(fmt.Sprintf("close cuda:%d", int(d.ordinal)), d.ordinal.ReleasePrimaryCtx())
	})
}

// do runs f on the device's thread, where all methods of the device and of what it makes must be called; f must not
// call do. Once the device is lost, it returns an error that wraps backend.ErrDeviceLost without calling f.
func (d *device) do(f func() error) error { return d.thread.do(f) }
