package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"tokenmigrate/checkpoint"
	"tokenmigrate/migrate"
	"tokenmigrate/migrate/connect"
)

func (a *app) pauseCommand(use string, paused bool, short, done string) *cobra.Command {
	return a.withConfig(&cobra.Command{
		Use:   use + " -c FILE",
		Short: short,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCheckpoint(cmd, needCheckpoint, func(ctx context.Context, store *checkpoint.Store, m checkpoint.Migration) error {
				if err := store.SetPaused(ctx, m.ID, paused); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stdout, "migration %s: %s\n", m.Name, done)
				return err
			})
		},
	})
}

func (a *app) paceCommand() *cobra.Command {
	return a.withConfig(&cobra.Command{
		Use:   "pace N|default -c FILE",
		Short: "Set the calls a minute of running and later workers",
		Long: `Sets the calls a minute that all workers of this destination and team make
together, within 5 seconds, and in later runs too. default gives the pace back to
the configuration.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("pace: give one thing, the calls a minute or default")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			rpm, err := strconv.ParseFloat(args[0], 64)
			if args[0] == "default" {
				rpm, err = 0, nil
			} else if err != nil || !(rpm > 0 && rpm <= 10_000_000) {
				return &usageError{cmd.CommandPath(), fmt.Errorf("pace %q: give the calls a minute, a number above 0, or default", args[0])}
			}
			return a.withCheckpoint(cmd, needCheckpoint|needDestination, func(ctx context.Context, store *checkpoint.Store, _ checkpoint.Migration) error {
				destination, err := a.destination()
				if err != nil {
					return err
				}
				host, team := migrate.Budget(destination)
				if err := store.SetPace(ctx, host, team, rpm); err != nil {
					return err
				}
				said := args[0] + " calls a minute"
				if rpm == 0 {
					said = "as configured"
				}
				if rpm > publishedLimit {
					fmt.Fprintf(a.stderr, "tokenmigrate: warning: %s is above %d, the writes a minute that Connect publishes for a whole team, production included; `tokenmigrate pace default` undoes it\n", args[0], publishedLimit)
				}
				_, err = fmt.Fprintf(a.stdout, "pace of %s: %s, for running and later workers; they follow within 5 seconds\n", destination, said)
				return err
			})
		},
	})
}

// destination names where the configuration sends to.
func (a *app) destination() (string, error) {
	d := &a.cfg.Destination
	client, err := connect.New(connect.Options{URL: d.URL, Credential: a.cfg.Credential, TeamID: d.TeamID, Slug: d.Slug})
	if err != nil {
		return "", fmt.Errorf("%w: destination: %w", migrate.ErrConfig, err)
	}
	defer client.Close()
	return client.Destination(), nil
}
