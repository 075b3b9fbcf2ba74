// Package metrics serves the figures of a running training to tools on the same machine: /metrics in
// Prometheus's text format and /healthz, on 127.0.0.1 only. It is the one package that opens a port.
//
//	s, err := metrics.Listen(9400) // a report.Sink; Close ends it
//	sink := report.Tee(terminal, s)
package metrics

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"senet/internal/report"
)

// timeout bounds how long a client may take over a request or its answer, which has a few KiB.
const timeout = 10 * time.Second

// Server is a report.Sink that serves what it was told last.
type Server struct {
	listener net.Listener
	http     *http.Server
	served   chan error // what Serve returned

	mu    sync.Mutex
	state state
}

// state is what is known of the run.
type state struct {
	run                   report.Run
	step                  report.Step
	epoch                 report.Epoch
	images, skipped, best float64
	stepTime, dataWait    time.Duration // of all steps
}

// Listen serves on 127.0.0.1 at a port, 0 for any free one, until Close.
func Listen(port int) (*Server, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	s := &Server{listener: l, served: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n")) // a client that has gone needs no answer
	})
	s.http = &http.Server{Handler: mux, ReadTimeout: timeout, WriteTimeout: timeout}
	go func() { s.served <- s.http.Serve(l) }()
	return s, nil
}

// Addr is the address that the server listens on, e.g. "127.0.0.1:9400".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Start takes over the run's description.
func (s *Server) Start(r report.Run) error {
	s.change(func(x *state) { *x = state{run: r} })
	return nil
}

// Step takes over a step. One whose loss is not finite counts as skipped.
func (s *Server) Step(t report.Step) error {
	s.change(func(x *state) {
		x.step = t
		x.images += float64(t.Images)
		x.stepTime += t.StepTime
		x.dataWait += t.DataWait
		if t.Loss-t.Loss != 0 { // not finite
			x.skipped++
		}
	})
	return nil
}

// Epoch takes over an epoch's evaluation.
func (s *Server) Epoch(e report.Epoch) error {
	s.change(func(x *state) {
		x.epoch = e
		x.best = max(x.best, e.ValTop1)
	})
	return nil
}

// Finish has nothing to add.
func (s *Server) Finish(report.Summary) error { return nil }

// Close frees the port.
func (s *Server) Close() error {
	err := s.http.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("metrics: %w", served))
	}
	return err
}

func (s *Server) change(f func(*state)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.state)
}

func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	x := s.state
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(x.text()) // a client that has gone needs no answer
}
