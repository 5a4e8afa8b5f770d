// Command temporal-dev is a Temporal server for one machine. It takes the words of `temporal server start-dev`, so that it
// stands in for that command where only package registries are reached.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"

	ui "github.com/temporalio/ui-server/v2/server/version"
	"go.temporal.io/server/common/headers"

	"holdfast/tools/temporal-dev/flags"
)

const usage = `temporal-dev: a Temporal server for one machine, with its web UI, on SQLite

  temporal-dev server start-dev [flags]          start it; SIGINT or SIGTERM ends it
  temporal-dev server start-dev --help           the flags
  temporal-dev --version
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "temporal-dev:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0 || slices.Contains([]string{"--help", "-h", "help"}, args[0]):
		fmt.Print(usage)
		return nil
	case args[0] == "--version" || args[0] == "-v":
		fmt.Printf("temporal version holdfast-dev (server %s, UI %s)\n", headers.ServerVersion, ui.UIVersion)
		return nil
	case len(args) >= 2 && args[0] == "server" && args[1] == "start-dev":
		return startDev(args[2:])
	default:
		return fmt.Errorf("unknown command %q\n%s", args, usage)
	}
}

func startDev(args []string) error {
	asked, err := flags.Parse(args, os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return serve(asked)
}
