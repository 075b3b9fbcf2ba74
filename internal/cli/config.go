package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"senet/internal/config"
)

// ConfigOptions are the flags that load a config; commands that need one embed it.
type ConfigOptions struct {
	Path string
	Sets []string // key=value
}

func (o *ConfigOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.Path, "config", "c", "", "config `file` (YAML)")
	cmd.Flags().StringArrayVar(&o.Sets, "set", nil, "override a config key by `key=value`, e.g. train.epochs=1 (repeatable)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // fails only for a flag that does not exist
}

// load reads the config; a missing --config is a usage error.
func (o *ConfigOptions) load() (config.Config, error) {
	if o.Path == "" {
		return config.Config{}, fmt.Errorf("%w: --config is required, e.g. --config configs/seresnet20-fashion-mnist.yaml", errUsage)
	}
	return config.Load(o.Path, o.Sets)
}

func newConfigCmd(d *deps, run func(context.Context, *deps, ConfigOptions) error) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at configurations"}
	var o ConfigOptions
	show := &cobra.Command{
		Use: "print", Short: "Print the effective config: file, overrides and defaults", Args: cobra.NoArgs,
		Example: "  senet config print --config configs/seresnet20-fashion-mnist.yaml --set train.lr=0.05",
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.addFlags(show)
	cmd.AddCommand(show)
	return cmd
}

func runConfigPrint(_ context.Context, d *deps, o ConfigOptions) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	text, err := cfg.YAML()
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(d.Out, text)
	return err
}
