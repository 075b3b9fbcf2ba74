package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"senet/internal/config"
	"senet/internal/data"
)

// DataOptions are the flags that the commands about data sets share.
type DataOptions struct {
	Config ConfigOptions
	Split  string // train, val, or "" for both
}

func newDataCmd(d *deps) *cobra.Command {
	cmd := &cobra.Command{Use: "data", Short: "Index, pack, check and look at data sets of image files"}
	cmd.AddCommand(
		newDataIndexCmd(d, runDataIndex),
		newDataPackCmd(d, runDataPack),
		newDataVerifyCmd(d, runDataVerify),
		newDataStatsCmd(d, runDataStats),
		newDataPreviewCmd(d, runDataPreview),
	)
	return cmd
}

func (o *DataOptions) addFlags(cmd *cobra.Command) {
	o.Config.addFlags(cmd)
	cmd.Flags().Var((*splitFlag)(&o.Split), "split", "train or val (default: both)")
	_ = cmd.RegisterFlagCompletionFunc("split", cobra.FixedCompletions([]string{"train", "val"}, cobra.ShellCompDirectiveNoFileComp))
}

// splitFlag is the value of --split, checked when the command line is read.
type splitFlag string

func (f *splitFlag) String() string { return string(*f) }

func (f *splitFlag) Type() string { return "split" }

func (f *splitFlag) Set(s string) error {
	if s != "train" && s != "val" {
		return errors.New("want train or val")
	}
	*f = splitFlag(s)
	return nil
}

// namedSplit is a split with its name on the command line.
type namedSplit struct {
	name  string
	split data.Split
}

func (o DataOptions) splits() []namedSplit {
	var all []namedSplit
	for _, s := range []namedSplit{{"train", data.Train}, {"val", data.Test}} {
		if o.Split == "" || o.Split == s.name {
			all = append(all, s)
		}
	}
	return all
}

// load reads the config, which must be of image files.
func (o *DataOptions) load() (config.Config, data.Set, error) {
	cfg, err := o.Config.load()
	if err == nil && cfg.Data.Source == fashionMNIST {
		err = fmt.Errorf("%w: data.source is %s, want one of image files: %s", config.ErrConfig, fashionMNIST,
			strings.Join([]string{data.ImageFolder, data.ImageNetTar, data.WebDataset, data.List}, ", "))
	}
	return cfg, imageSet(cfg), err
}

// openSplit opens a split and checks that it has as many classes as the network.
func openSplit(cfg config.Config, set data.Set, s namedSplit) (*data.Index, error) {
	ix, err := set.Open(s.split)
	if err != nil {
		return nil, err
	}
	if have := len(ix.ClassIDs()); have != cfg.Model.Classes {
		return nil, fmt.Errorf("%w: %s has %d classes in split %s, the config says model.classes %d", config.ErrConfig, set.Dir, have, s.name, cfg.Model.Classes)
	}
	return ix, nil
}
