package tests

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestExample(t *testing.T) {
	m := renderFolder(t, deployFolder(t), "/deploy/overlays/example")
	for name, job := range m.jobs {
		for _, problem := range jobProblems(job) {
			t.Errorf("%s: %s", name, problem)
		}
		if job.Namespace != m.space.Name {
			t.Errorf("%s: is in namespace %s, not %s", name, job.Namespace, m.space.Name)
		}
	}
	for _, mode := range []string{"enforce", "warn", "audit"} {
		if level := m.space.Labels["pod-security.kubernetes.io/"+mode]; level != "restricted" {
			t.Errorf("the namespace is to %s %q", mode, level)
		}
	}
	if len(m.jobs) != 3 || len(m.configs) != 1 || !strings.Contains(m.configs[0].Data["tokenmigrate.yaml"], "acme-slack") {
		t.Error("the example has not its three Jobs and its own configuration")
	}
}

// What the example has commented out works once the signs are taken away.
func TestExample_Whole(t *testing.T) {
	fs := deployFolder(t)
	const dir = "/deploy/overlays/example/"
	text, err := fs.ReadFile(dir + "kustomization.yaml")
	must(t, err)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "# "); ok && (strings.HasPrefix(rest, "- ") || strings.HasPrefix(rest, "  ") || rest == "secretGenerator:\n") {
			line = rest
		}
		lines = append(lines, line)
	}
	must(t, fs.WriteFile(dir+"kustomization.yaml", []byte(strings.Join(lines, ""))))
	for _, name := range []string{"source-url", "checkpoint-url", "destination-token"} {
		must(t, fs.WriteFile(dir+"secrets/"+name, []byte(name)))
	}
	m := renderFolder(t, fs, strings.TrimSuffix(dir, "/"))
	for name, job := range m.jobs {
		for _, problem := range jobProblems(job) {
			t.Errorf("%s: %s", name, problem)
		}
	}
	run := m.jobs["run"]
	if len(m.secrets) != 3 || m.monitor == nil || *run.Spec.Completions != 4 || run.Labels["kueue.x-k8s.io/queue-name"] != "batch" || len(run.Spec.Template.Spec.InitContainers) != 1 {
		t.Error("not all that was commented out is there")
	}
}

// The patches that the README proposes do what it says.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	must(t, err)
	var blocks []string
	for _, block := range regexp.MustCompile(`(?m)^ {6}patches:\n(?: {6}.*\n)+`).FindAllString(string(text), -1) {
		indent := strings.Repeat(" ", strings.Index(block, "patches:"))
		blocks = append(blocks, strings.TrimPrefix(strings.ReplaceAll(block, "\n"+indent, "\n"), indent))
	}
	if len(blocks) != 3 {
		t.Fatalf("the README has %d patches, want 3", len(blocks))
	}
	for i, done := range []func(*manifests) bool{
		func(m *manifests) bool {
			claim := m.jobs["dry-run"].Spec.Template.Spec.Volumes[1].PersistentVolumeClaim
			return claim != nil && claim.ClaimName == "reports"
		},
		func(m *manifests) bool { return slices.Contains(worker(m.jobs["run"]).Args, "--limit=100") },
		func(m *manifests) bool {
			pod := m.jobs["run"].Spec.Template.Labels
			return allowed(m.networks, pod, egress, database, tcp, 6432) && allowed(m.networks, pod, egress, peer{ip: "169.254.20.10"}, udp, 53) &&
				!allowed(m.networks, pod, egress, peer{ip: "169.254.20.10"}, tcp, 443)
		},
	} {
		if !done(render(t, overlay([]string{"check", "dry-run"}, settings+blocks[i]))) {
			t.Errorf("this does not do what the README says:\n%s", blocks[i])
		}
	}
}
