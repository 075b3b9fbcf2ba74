// Package arch holds no code: its tests fail when an import points against the direction in
// which data flows, or when a file outgrows the limit.
//
//	go test ./internal/arch
package arch
