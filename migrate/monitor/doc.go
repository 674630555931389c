// Package monitor shows a run or dry run over HTTP while it goes on: metrics for
// Prometheus at /metrics, /healthz and /readyz for a cluster, and the live report
// at /. All of it is read-only, and holds no credential and no subject ids; keys,
// connectors and reasons stand in the report, so that it is for those who may
// see these.
//
//	m := monitor.New(watch, monitor.Info{...}) // before the run, which is given the watch
//	server, err := monitor.Listen(":9090", m)
//	...
//	defer server.Close()
package monitor
