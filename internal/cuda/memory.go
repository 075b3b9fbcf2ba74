package cuda

// #include "driver.h"
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"gorgonia.org/cu"
)

// address is one of the device's memory.
type address uint64

// alloc returns the address of so many bytes of anything, or *OutOfMemory.
func (d *device) alloc(bytes int64) (address, error) {
	a, err := cu.MemAlloc(bytes)
	if errors.Is(err, cu.OutOfMemory) {
		return 0, outOfMemory(bytes)
	}
	if err != nil {
		return 0, wrap(fmt.Sprintf("allocate %d bytes", bytes), err)
	}
	return address(a), nil
}

// clear sets memory to zero.
func (d *device) clear(a address, bytes int64) error {
	// Streams of ours do not wait for the null stream, which clears the memory: wait for it here.
	return errors.Join(wrap("clear memory", cu.MemsetD8(cu.DevicePtr(a), 0, bytes)), wrap("clear memory", cu.Synchronize()))
}

func outOfMemory(asked int64) error {
	free, total, err := cu.MemInfo()
	if err != nil {
		return errors.Join(&OutOfMemory{Asked: asked}, wrap("ask for free memory", err))
	}
	return &OutOfMemory{Asked: asked, Free: free, Total: total}
}

// release frees what alloc returned; 0 is nothing.
func (d *device) release(a address) error {
	if a == 0 {
		return nil
	}
	return wrap("free memory", cu.MemFree(cu.DevicePtr(a)))
}

// pinned is page-locked memory of the host, outside Go's heap: the device copies from and to it while the host goes on.
type pinned struct {
	bytes []byte
	p     unsafe.Pointer
}

// allocPinned returns so many bytes of any value.
func (d *device) allocPinned(bytes int64) (*pinned, error) {
	p := &pinned{}
	if err := failed(fmt.Sprintf("allocate %d bytes of page-locked host memory", bytes), C.cuMemHostAlloc(&p.p, C.size_t(bytes), 0)); err != nil {
		return nil, err
	}
	p.bytes = unsafe.Slice((*byte)(p.p), bytes)
	return p, nil
}

// free releases the memory. Freeing twice does nothing.
func (p *pinned) free() error {
	if p.p == nil {
		return nil
	}
	err := wrap("free page-locked host memory", cu.MemFreeHost(p.p))
	*p = pinned{}
	return err
}
