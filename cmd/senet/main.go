// Command senet trains, evaluates and measures squeeze-and-excitation networks.
package main

import (
	"os"

	"senet/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], cli.System())) }
