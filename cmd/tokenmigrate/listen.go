package main

import (
	"maps"
	"slices"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"tokenmigrate/migrate"
	"tokenmigrate/migrate/monitor"
)

// listen serves metrics and the live report of the run that watch looks at where
// --listen says; without it nowhere. close returns when nothing is served any more,
// and leaves open pages the time to show the end, unless the command was stopped.
//
// Errors: a *usageError where the address cannot be had.
func (a *app) listen(cmd *cobra.Command, f *runFlags, cfg *Config, watch *migrate.Watch, log zerolog.Logger) (close func(), err error) {
	if f.listen == "" {
		return func() {}, nil
	}
	live := monitor.New(watch, monitor.Info{
		Version: programVersion(), Migration: cfg.Migration, Shard: f.shard.n, Shards: f.shard.of, Connectors: connectorNames(cfg),
	})
	server, err := monitor.Listen(f.listen, live)
	if err != nil {
		return nil, &usageError{cmd.CommandPath(), err}
	}
	log.Info().Str("addr", server.Addr()).Msg("listening: the live report at /, /metrics, /healthz and /readyz")
	return func() {
		live.Linger(cmd.Context())
		server.Close()
	}, nil
}

// connectorNames returns the connectors that the configuration names.
func connectorNames(cfg *Config) []string {
	if cfg.Destination.Connector != "" {
		return []string{cfg.Destination.Connector}
	}
	names := slices.Sorted(maps.Values(cfg.Destination.Connectors))
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == skipConnector })
}
