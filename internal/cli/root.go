// Package cli is the command line: one file per command, each an Options struct, a
// constructor and a run function. It is the only place that chooses a backend.
package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"senet/internal/backend"
)

// Streams are the program's input and output, and what is known of them.
type Streams struct {
	Out, Err io.Writer
	OutTTY   bool // Out is a terminal
	ErrTTY   bool
	NoColor  bool
}

// System is the process's own streams. NO_COLOR is obeyed (no-color.org).
func System() Streams {
	return Streams{
		Out: os.Stdout, Err: os.Stderr,
		OutTTY:  term.IsTerminal(int(os.Stdout.Fd())),
		ErrTTY:  term.IsTerminal(int(os.Stderr.Fd())),
		NoColor: os.Getenv("NO_COLOR") != "",
	}
}

// deps is what commands use of the outside world; tests replace parts of it.
type deps struct {
	Streams
	now  func() time.Time
	open func(device string, threads int) (backend.Backend, string, error)
}

// Main runs the command line and returns the exit code. SIGINT and SIGTERM cancel the running
// command, which saves its state and returns; a second signal ends the process at once.
func Main(args []string, s Streams) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var got syscall.Signal
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case sig := <-signals:
			got = sig.(syscall.Signal)
			signal.Reset(syscall.SIGINT, syscall.SIGTERM)
			cancel()
		case <-ctx.Done():
		}
	}()
	d := &deps{Streams: s, now: time.Now, open: openDevice}
	err := execute(ctx, d, args)
	cancel()
	<-done
	if err != nil {
		fmt.Fprintf(s.Err, "senet: %v\n", err)
	}
	return exitCode(err, got)
}

func execute(ctx context.Context, d *deps, args []string) error {
	root := newRootCmd(d)
	root.SetArgs(args)
	root.SetOut(d.Out)
	root.SetErr(d.Err)
	return root.ExecuteContext(ctx)
}

func newRootCmd(d *deps) *cobra.Command {
	root := &cobra.Command{
		Use:   "senet",
		Short: "Train, evaluate and measure squeeze-and-excitation networks",
		Long: `senet trains, evaluates and measures squeeze-and-excitation networks.

Exit codes: 0 ok, 1 failure, 2 usage or config, 3 bad data or checkpoint, 4 no such
device, 5 diverged, 6 device lost, 143 (130 for Ctrl-C) stopped with a checkpoint saved.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, cmd.CommandPath())
	})
	root.AddCommand(
		newTrainCmd(d, runTrain),
		newEvalCmd(d, runEval),
		newPredictCmd(d, runPredict),
		newSummaryCmd(d, runSummary),
		newDoctorCmd(d, runDoctor),
		newVersionCmd(d, runVersion),
		newConfigCmd(d, runConfigPrint),
	)
	wrapArgs(root)
	return root
}

// wrapArgs makes every wrong positional argument a usage error (exit 2), as wrong flags are.
func wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, c.CommandPath())
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		wrapArgs(c)
	}
}

// writeJSON prints one indented object.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
