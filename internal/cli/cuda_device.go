package cli

import (
	"fmt"

	"senet/internal/backend"
	"senet/internal/config"
	"senet/internal/cuda"
	"senet/internal/kernels"
)

// openCUDA opens the GPU of that index; precision auto is bf16. The note is a line for the user, "" if there is none.
func openCUDA(index int, o deviceOptions) (backend.Backend, string, error) {
	precision := o.precision
	if precision == "auto" {
		precision = kernels.BFloat16.String()
	}
	p, err := kernels.ParsePrecision(precision)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", config.ErrConfig, err)
	}
	options := cuda.Options{Index: index, Precision: p, Measure: o.measure}
	if o.team != nil {
		options.Rank, options.Ranks = o.team.Rank, o.team.Size
		if options.UniqueID, err = o.team.uniqueID(); err != nil {
			return nil, "", err
		}
	}
	b, err := cuda.New(options)
	if err != nil {
		return nil, "", err
	}
	return b, b.Note(), nil
}
