package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/kernels"
)

// Options configures New.
type Options struct {
	Index     int // of the device, as the driver counts them
	Precision kernels.Precision
	// Measure times every convolution on all engines that cuDNN suggests and on our own kernels, takes the fastest and keeps the
	// choice on disk. Without it a choice on disk is taken, else the engine that cuDNN expects to be the fastest.
	Measure bool

	Rank, Ranks int    // which of how many processes that share a job this is, each with a GPU of its own; 0 or 1 Ranks: it is alone
	UniqueID    []byte // the job's, from NewUniqueID on one rank; nil alone
}

// Backend is one GPU with its driver, its kernels and, where it is installed, cuDNN.
type Backend struct {
	index     int
	precision kernels.Precision
	measure   bool
	device    *device
	compute   *stream // runs the nodes, in order
	uploads   *stream // brings the next batch meanwhile
	modules   map[string]*module
	functions map[string]*function // by the kernel's name
	library   *cudnn               // nil where it cannot be used
	plans     map[string]*convPlan // of convPattern.String(); nil where our own kernels are faster
	note      string
	job       *job // nil alone
}

// New opens a GPU. It fails with backend.ErrNoDevice where there is none that the embedded kernels run on. With several ranks it
// waits for all of them.
func New(o Options) (_ *Backend, err error) {
	d, err := openDevice(o.Index)
	if err != nil {
		return nil, err
	}
	b := &Backend{index: o.Index, precision: o.Precision, measure: o.Measure, device: d, modules: map[string]*module{}, functions: map[string]*function{}, plans: map[string]*convPlan{}}
	err = d.do(func() (err error) {
		if b.compute, err = d.newStream(); err != nil {
			return err
		}
		if b.uploads, err = d.newStream(); err != nil {
			return err
		}
		b.openLibrary()
		if o.Ranks > 1 {
			b.job, err = d.join(o)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// openLibrary opens cuDNN. Without it our own kernels convolve.
func (b *Backend) openLibrary() {
	library, err := openCuDNN(uintptr(unsafe.Pointer(b.compute.c())))
	if err != nil {
		b.note = fmt.Sprintf("convolutions run on senet's own kernels: %v", err)
		return
	}
	b.library = library
	b.note = library.remember(b.device.name)
	if b.measure && b.note == "" && len(library.cache.chosen) == 0 {
		b.note = "the first run on this GPU measures every convolution, for a minute or two; the choice is kept in " + library.cache.path
	}
}

// Note is a line for the user on what could be better, "" if nothing.
func (b *Backend) Note() string { return b.note }

// PeakBandwidth is what the device's memory can move, in bytes a second; 0 if the driver does not say.
func (b *Backend) PeakBandwidth() float64 { return b.device.peakBandwidth }

// Name is "cuda:N".
func (b *Backend) Name() string { return fmt.Sprintf("cuda:%d", b.index) }

// Describe names the device, its compute capability, the precision, what convolves, and the rank where there are several.
func (b *Backend) Describe() string {
	convolves := "own convolutions"
	if b.library != nil {
		convolves = "cuDNN " + b.library.version
	}
	joined := ""
	if b.job != nil {
		joined = fmt.Sprintf(", rank %d of %d by NCCL %s", b.job.rank, b.job.ranks, b.job.nccl.version)
	}
	return fmt.Sprintf("cuda:%d: %s, compute capability %d.%d, %s, %s%s",
		b.index, b.device.name, b.device.compute/10, b.device.compute%10, b.precision, convolves, joined)
}

// Compile plans every node of p and allocates all its memory.
func (b *Backend) Compile(p *graph.Program) (backend.Executable, error) {
	if err := backend.CheckRanks(b.Name(), p, b.ranks()); err != nil {
		return nil, err
	}
	var e *executable
	err := b.device.do(func() (err error) {
		e, err = compile(b, p, true)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return e, nil
}

// Close frees the device. Closing twice does nothing.
func (b *Backend) Close() error {
	if b.device == nil {
		return nil
	}
	d := b.device
	b.device = nil
	err := d.do(func() error {
		var errs []error
		if b.job != nil {
			errs = append(errs, b.job.leave())
		}
		for _, plan := range b.plans {
			if plan != nil {
				plan.destroy()
			}
		}
		if b.library != nil {
			errs = append(errs, b.library.close())
		}
		for _, s := range []*stream{b.compute, b.uploads} {
			if s != nil {
				errs = append(errs, s.destroy())
			}
		}
		for _, m := range b.modules {
			errs = append(errs, m.unload())
		}
		return errors.Join(errs...)
	})
	return errors.Join(err, d.close())
}

// kernel is the entry point that l launches, its module loaded when it is first asked for.
func (b *Backend) kernel(l kernels.Launch) (*function, error) {
	if f := b.functions[l.Kernel]; f != nil {
		return f, nil
	}
	m := b.modules[l.Module]
	if m == nil {
		image, err := kernels.Image(l.Module, b.device.compute)
		if err != nil {
			return nil, err
		}
		if m, err = b.device.loadModule(image); err != nil {
			return nil, fmt.Errorf("kernels of %s: %w", l.Module, err)
		}
		b.modules[l.Module] = m
	}
	f, err := m.function(l.Kernel)
	if err != nil {
		return nil, fmt.Errorf("kernel %s of %s: %w", l.Kernel, l.Module, err)
	}
	b.functions[l.Kernel] = f
	return f, nil
}
