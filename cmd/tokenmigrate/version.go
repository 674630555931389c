package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are stamped in when a release is built, with the linker's
// -X main.version=... and -X main.commit=...
var version, commit string

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, commit, Go version and platform",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.stdout, "tokenmigrate %s\ncommit %s\n%s %s/%s\n", programVersion(), programCommit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// programVersion returns the stamped version, else the module's or commit's.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	if id := programCommit(); len(id) >= 12 {
		return "devel-" + id[:12]
	}
	return "devel"
}

// programCommit returns the stamped commit, else the one that the go command
// noted when it built in a clone; "unknown" where it did neither. "+dirty" says
// that files were changed since.
func programCommit() string {
	if commit != "" {
		return commit
	}
	id, dirty := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && s.Value != "":
				id = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "+dirty"
			}
		}
	}
	if id == "unknown" {
		return id
	}
	return id + dirty
}
