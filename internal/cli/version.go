package cli

import (
	"context"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"senet/internal/cpu"
)

// Version is set by the build (-ldflags "-X senet/internal/cli.Version=...").
var Version = "development"

// VersionOptions are the flags of `senet version`.
type VersionOptions struct{ JSON bool }

// versionInfo is the --json object of `senet version`.
type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"` // operating system/architecture
	OneDNN   string `json:"onednn"`
}

func newVersionCmd(d *deps, run func(context.Context, *deps, VersionOptions) error) *cobra.Command {
	var o VersionOptions
	cmd := &cobra.Command{
		Use: "version", Short: "Print versions", Args: cobra.NoArgs,
		Long: "Print versions.\n\n--json prints {version, go, platform, onednn}.",
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	return cmd
}

func runVersion(_ context.Context, d *deps, o VersionOptions) error {
	v := versions()
	if o.JSON {
		return writeJSON(d.Out, v)
	}
	_, err := fmt.Fprintf(d.Out, "senet %s (%s, %s, oneDNN %s)\n", v.Version, v.Go, v.Platform, v.OneDNN)
	return err
}

func versions() versionInfo {
	return versionInfo{Version: Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, OneDNN: cpu.LibraryVersion()}
}

// libraries are the versions that checkpoints and reports record.
func libraries() map[string]string {
	return map[string]string{"senet": Version, "go": runtime.Version(), "onednn": cpu.LibraryVersion()}
}
