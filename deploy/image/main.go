// Command image assembles tokenmigrate's container image from built binaries,
// without a container engine, and takes one apart again. deploy/release.sh calls
// it; it is a module of its own, so that the program depends on none of this.
//
//	go run . assemble -binaries DIR -version V -commit ID -created RFC3339 -out DIR
//
// reads DIR/tokenmigrate-linux-{amd64,arm64} and writes below -out
//
//	image/{amd64,arm64}/      the file trees, which deploy/Dockerfile copies, too
//	tokenmigrate-image.tar    an OCI archive of the same trees, for both platforms
//
// The same input makes the same bytes.
//
//	go run . unpack -archive FILE -arch amd64 -out DIR
//
// writes DIR/rootfs, the files of one platform, and DIR/config.json, as whom and
// how they are run.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// run executes one command line.
func run(args []string) error {
	if len(args) == 0 {
		return errors.New("give a command, assemble or unpack")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	out := flags.String("out", "", "folder to write to")
	switch args[0] {
	case "assemble":
		var b build
		var created string
		flags.StringVar(&b.binaries, "binaries", "", "folder that holds tokenmigrate-linux-ARCH")
		flags.StringVar(&b.version, "version", "", "the version that the binaries are stamped with")
		flags.StringVar(&b.commit, "commit", "", "likewise the commit")
		flags.StringVar(&created, "created", "", "the commit's time, RFC 3339: the image's age")
		if err := parse(flags, args[1:]); err != nil {
			return err
		}
		var err error
		if b.created, err = time.Parse(time.RFC3339, created); err != nil {
			return fmt.Errorf("-created: %w", err)
		}
		return b.assemble(*out)
	case "unpack":
		archive := flags.String("archive", "", "an archive that assemble wrote")
		arch := flags.String("arch", "", "amd64 or arm64")
		if err := parse(flags, args[1:]); err != nil {
			return err
		}
		return unpack(*archive, *arch, *out)
	}
	return fmt.Errorf("%s is no command; give assemble or unpack", args[0])
}

// parse reads flags, all of which must be given.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: no arguments are expected", flags.Name())
	}
	var missing []error
	flags.VisitAll(func(f *flag.Flag) {
		if f.Value.String() == "" {
			missing = append(missing, fmt.Errorf("%s: give -%s", flags.Name(), f.Name))
		}
	})
	return errors.Join(missing...)
}
