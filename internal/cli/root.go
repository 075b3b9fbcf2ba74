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
	"sync/atomic"
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
	NoColor  bool
}

// System is the process's own streams. NO_COLOR is obeyed (no-color.org).
func System() Streams {
	return Streams{
		Out: os.Stdout, Err: os.Stderr,
		OutTTY:  term.IsTerminal(int(os.Stdout.Fd())),
		NoColor: os.Getenv("NO_COLOR") != "",
	}
}

// deps is what commands use of the outside world; tests replace parts of it.
type deps struct {
	Streams
	now  func() time.Time
	open func(deviceOptions) (backend.Backend, string, error)
	exit func(code int) // ends the process at once

	atExit      func(code int) // is told the exit code after all else; nil unless a command sets it
	passSignals func()         // from then on, a second signal does not end the process: those that it starts get them
}

// Main runs the command line and returns the exit code. SIGINT and SIGTERM cancel the running
// command, which saves its state and returns; a second signal ends the process at once.
func Main(args []string, s Streams) int {
	return (&deps{Streams: s, now: time.Now, open: openDevice, exit: os.Exit}).main(args)
}

func (d *deps) main(args []string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	var got syscall.Signal
	var passed atomic.Bool
	d.passSignals = func() { passed.Store(true) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case sig := <-signals:
			got = sig.(syscall.Signal)
			if !passed.Load() {
				signal.Reset(syscall.SIGINT, syscall.SIGTERM)
			}
			cancel()
		case <-ctx.Done():
		}
	}()
	err := execute(ctx, d, args)
	cancel()
	<-done
	if err != nil {
		fmt.Fprintf(d.Err, "senet: %s\n", message(err))
	}
	code := exitCode(err, got)
	if d.atExit != nil {
		d.atExit(code)
	}
	return code
}

// notef tells the user what is worth a line.
func (d *deps) notef(format string, args ...any) {
	fmt.Fprintln(d.Err, indent(fmt.Sprintf(format, args...)))
}

func execute(ctx context.Context, d *deps, args []string) error {
	root := newRootCmd(d)
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

func newRootCmd(d *deps) *cobra.Command {
	root := &cobra.Command{
		Use:   "senet",
		Short: "Train, evaluate and measure squeeze-and-excitation networks",
		Long: `senet trains, evaluates and measures squeeze-and-excitation networks.

Exit codes: 0 ok, 1 failure, 2 usage or config, 3 bad data or checkpoint, 4 no such
device, 5 diverged, 6 device or rank lost, 143 stopped by SIGTERM, 130 by Ctrl-C;
training that is stopped saves a checkpoint first.`,
		Example: `  senet train --config configs/seresnet20-fashion-mnist.yaml
  senet predict --checkpoint runs/seresnet20-fashion-mnist/best photo.png`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, cmd.CommandPath())
	})
	root.AddCommand(
		newTrainCmd(d, runTrain),
		newEvalCmd(d, runEval),
		newPredictCmd(d, runPredict),
		newSummaryCmd(d, runSummary),
		newReportCmd(d, runReport),
		newCostCmd(d, runCost),
		newImportCmd(d, runImport),
		newExportCmd(d, runExport),
		newDataCmd(d),
		newBenchCmd(d, runBench),
		newDoctorCmd(d, runDoctor),
		newVersionCmd(d, runVersion),
		newConfigCmd(d, runConfigPrint),
	)
	root.SetOut(d.Out)
	root.SetErr(d.Err)
	root.InitDefaultCompletionCmd() // now, so that checkArgs sees them too
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Args = knownCommand
	}
	checkArgs(root)
	return root
}

// noSuchCommand refuses what is left of a command line where a command's name belongs.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // edits
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf(", did you mean %q?", near[0])
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
}

// knownCommand refuses arguments of the help command that are not the name of a command.
func knownCommand(cmd *cobra.Command, args []string) error {
	about, rest, err := cmd.Root().Find(args)
	if err != nil {
		return err
	}
	return noSuchCommand(about, rest)
}

// checkArgs makes every wrong positional argument a usage error (exit 2), as wrong flags are. A
// command that only has subcommands prints its help. Arguments complete to files only where a command says to which.
func checkArgs(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		cmd.Args = noSuchCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	} else if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, c.CommandPath())
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		checkArgs(c)
	}
}

// writeJSON prints one indented object.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
