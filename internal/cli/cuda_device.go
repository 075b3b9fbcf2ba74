package cli

import (
	"fmt"

	"senet/internal/backend"
	"senet/internal/config"
	"senet/internal/cuda"
	"senet/internal/kernels"
)

// openCUDA opens the GPU of that index; precision auto is bf16. The note is a line for the user, "" if there is none.
func openCUDA(index int, precision string) (backend.Backend, string, error) {
	if precision == "auto" {
		precision = kernels.BFloat16.String()
	}
	p, err := kernels.ParsePrecision(precision)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", config.ErrConfig, err)
	}
	b, err := cuda.New(cuda.Options{Index: index, Precision: p})
	if err != nil {
		return nil, "", err
	}
	return b, b.Note(), nil
}
