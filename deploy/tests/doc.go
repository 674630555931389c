// Package tests checks what is in deploy: that the manifests render in every
// combination of their components, are what the published Kubernetes types allow,
// pass Pod Security at its strictest, and end a Job as the program's exit codes
// mean; that alerts and dashboards ask only for metrics that exist, and alerts fire
// when they should; and that the program itself runs as the Jobs start it.
//
// It is a module of its own, so that the program's stays small. TestCluster does the
// same with a real cluster; ../README.md tells how.
package tests
