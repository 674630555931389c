package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// The files as they are written, before kustomize has had them: it would take the
// last of two equal fields.
func TestFiles(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../base/*.yaml", "../base/*/*.yaml", "../components/*/*.yaml", "../components/*/*/*.yaml", "../overlays/example/*.yaml", "testdata/*.yaml"} {
		found, err := filepath.Glob(pattern)
		must(t, err)
		files = append(files, found...)
	}
	seen := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		switch filepath.Base(name) {
		case "tokenmigrate.yaml", "cluster-config.yaml": // the program's own
			continue
		case "kustomization.yaml":
			var anything any
			if err := yaml.UnmarshalStrict(text, &anything); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		for _, document := range strings.Split(string(text), "\n---\n") {
			seen++
			if _, err := decode([]byte(document)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d files were looked at", seen)
	}
}

// The number of shards is written once, and stands wherever it is needed.
func TestShards(t *testing.T) {
	for _, some := range combinations() {
		m := render(t, overlay(some, settings))
		want, variable := int32(1), ""
		if slices.Contains(some, "sharded") {
			want, variable = 8, "8"
		}
		run := m.jobs["run"]
		if *run.Spec.Completions != want || *run.Spec.Parallelism != want || env(worker(run), "TOKENMIGRATE_SHARDS") != variable {
			t.Errorf("components %v: completions %d, parallelism %d, TOKENMIGRATE_SHARDS %q, want %d shards", some,
				*run.Spec.Completions, *run.Spec.Parallelism, env(worker(run), "TOKENMIGRATE_SHARDS"), want)
		}
		for name, job := range m.jobs {
			if name != "run" && (*job.Spec.Completions != 1 || env(worker(job), "TOKENMIGRATE_SHARDS") != "") {
				t.Errorf("components %v: %s is split, too", some, name)
			}
		}
	}
}

// What each Job runs, and what it is given.
func TestCommands(t *testing.T) {
	const config = "run --config /etc/tokenmigrate/tokenmigrate.yaml"
	m := render(t, overlay(components, settings))
	for name, want := range map[string]string{
		"run":     config,
		"check":   strings.Replace(config, "run", "check", 1),
		"dry-run": strings.Replace(config, "run", "dry-run", 1) + " --report=- --report=/reports/dry-run.html",
	} {
		job := m.jobs[name]
		if got := strings.Join(worker(job).Args, " "); got != want || len(worker(job).Command) != 0 {
			t.Errorf("%s: runs %v %q, want the image's entrypoint with %q", name, worker(job).Command, got, want)
		}
		if got, want := slices.Contains(secretsOf(&job.Spec.Template.Spec), "tokenmigrate-destination"), name != "dry-run"; got != want {
			t.Errorf("%s: is given the API credential: %v, want %v", name, got, want)
		}
		if got, want := env(worker(job), "TOKENMIGRATE_LISTEN"), map[bool]string{true: "127.0.0.1:9090", false: ":9090"}[name == "check"]; got != want {
			t.Errorf("%s with monitoring: listens on %q, want %q", name, got, want)
		}
	}
	if got := env(worker(render(t, overlay(nil, "")).jobs["run"]), "TOKENMIGRATE_LISTEN"); got != "127.0.0.1:9090" {
		t.Errorf("without monitoring it listens on %q, which is for others, too", got)
	}
}

func secretsOf(spec *corev1.PodSpec) (names []string) {
	for _, v := range spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				names = append(names, s.Secret.Name)
			}
		}
	}
	return names
}

// Everything is named after the run, and whoever names it knows.
func TestNames(t *testing.T) {
	m := render(t, overlay(components, settings+`
secretGenerator:
- name: tokenmigrate-source
  literals: [source-url=one]
  options: {disableNameSuffixHash: true}
`))
	if m.account.Name != "tokenmigrate-acme-7" || *m.account.AutomountServiceAccountToken {
		t.Errorf("the ServiceAccount is %s, with a token: %v", m.account.Name, *m.account.AutomountServiceAccountToken)
	}
	if len(m.configs) != 1 || !strings.HasPrefix(m.configs[0].Name, "tokenmigrate-config-acme-7-") {
		t.Fatalf("want the configuration as the only ConfigMap, got %d", len(m.configs))
	}
	for name, job := range m.jobs {
		spec := job.Spec.Template.Spec
		if want := strings.TrimSuffix("tokenmigrate-"+strings.TrimPrefix(name, "run"), "-") + "-acme-7"; job.Name != want || job.Namespace != "team" {
			t.Errorf("%s: is %s/%s, want team/%s", name, job.Namespace, job.Name, want)
		}
		if spec.ServiceAccountName != m.account.Name || spec.Volumes[0].Projected.Sources[0].ConfigMap.Name != m.configs[0].Name {
			t.Errorf("%s: uses ServiceAccount %s and ConfigMap %s", name, spec.ServiceAccountName, spec.Volumes[0].Projected.Sources[0].ConfigMap.Name)
		}
		if secrets := secretsOf(&spec); secrets[0] != "tokenmigrate-source-acme-7" || secrets[1] != "tokenmigrate-checkpoint" {
			t.Errorf("%s: uses the Secrets %v; one is made here, the others are not", name, secrets)
		}
		if got := job.Labels["kueue.x-k8s.io/queue-name"]; got != "batch" {
			t.Errorf("%s: is for the queue %q", name, got)
		}
		if proxy := spec.InitContainers[0]; env(&proxy, "CSQL_PROXY_INSTANCE_CONNECTION_NAME") != "acme:europe-west1:accounts" {
			t.Errorf("%s: the proxy reaches %q", name, env(&proxy, "CSQL_PROXY_INSTANCE_CONNECTION_NAME"))
		}
	}
	if job := render(t, overlay([]string{"check"}, "")).jobs["check"]; job.Namespace != "" || job.Labels["kueue.x-k8s.io/queue-name"] != "" {
		t.Errorf("without an overlay the check is in namespace %q, for queue %q", job.Namespace, job.Labels["kueue.x-k8s.io/queue-name"])
	}
}

// Nothing is in the way of draining a node, and components bring only what they say.
func TestKinds(t *testing.T) {
	for _, some := range combinations() {
		want := []string{"ConfigMap", "Job", "NetworkPolicy", "ServiceAccount"}
		for component, kinds := range map[string][]string{
			"check": {"Job"}, "dry-run": {"Job"}, "cloud-sql-proxy": {"NetworkPolicy"}, "monitoring": {"NetworkPolicy", "PodMonitor", "PrometheusRule"},
		} {
			if slices.Contains(some, component) {
				want = append(want, kinds...)
			}
		}
		slices.Sort(want)
		if got := render(t, overlay(some, "")).kinds; !slices.Equal(got, want) {
			t.Errorf("components %v: got %v, want %v", some, got, want)
		}
	}
}

func TestPodMonitor(t *testing.T) {
	m := render(t, overlay([]string{"dry-run", "monitoring"}, settings))
	for name, job := range m.jobs {
		if !selects(&m.monitor.Spec.Selector, job.Spec.Template.Labels) {
			t.Errorf("%s: is not scraped", name)
		}
		ports := worker(job).Ports
		_, port, _ := strings.Cut(env(worker(job), "TOKENMIGRATE_LISTEN"), ":")
		if len(ports) != 1 || ports[0].Name != *m.monitor.Spec.PodMetricsEndpoints[0].Port || strconv.Itoa(int(ports[0].ContainerPort)) != port {
			t.Errorf("%s: has the ports %v and listens on %s, and is scraped on %s", name, ports, port, *m.monitor.Spec.PodMetricsEndpoints[0].Port)
		}
	}
}

// kubectl renders with a kustomize of its own age.
func TestKubectl(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("there is no kubectl here")
	}
	dir := t.TempDir()
	must(t, os.CopyFS(filepath.Join(dir, "base"), os.DirFS("../base")))
	must(t, os.CopyFS(filepath.Join(dir, "components"), os.DirFS("../components")))
	must(t, os.MkdirAll(filepath.Join(dir, "overlays/test"), 0o700))
	for _, some := range append([][]string{nil, components}, split(components)...) {
		must(t, os.WriteFile(filepath.Join(dir, "overlays/test/kustomization.yaml"), []byte(overlay(some, settings)), 0o600))
		out, err := exec.CommandContext(t.Context(), "kubectl", "kustomize", filepath.Join(dir, "overlays/test")).Output()
		must(t, err)
		got := manifests{jobs: map[string]*batchv1.Job{}}
		for _, document := range strings.Split(string(out), "\n---\n") {
			object, err := decode([]byte(document))
			must(t, err)
			got.add(t, object.GetObjectKind().GroupVersionKind().Kind, object)
		}
		want := render(t, overlay(some, settings))
		if !slices.Equal(got.kinds, want.kinds) {
			t.Errorf("components %v: kubectl renders %v, want %v", some, got.kinds, want.kinds)
		}
		for name, job := range want.jobs {
			if text := asYAML(t, job); text != asYAML(t, got.jobs[name]) {
				t.Errorf("components %v: kubectl renders another Job %s:\n%s\nwant\n%s", some, name, asYAML(t, got.jobs[name]), text)
			}
		}
	}
}

// split returns each element alone.
func split(all []string) (alone [][]string) {
	for _, one := range all {
		alone = append(alone, []string{one})
	}
	return alone
}

func asYAML(t testing.TB, object any) string {
	t.Helper()
	text, err := yaml.Marshal(object)
	must(t, err)
	return string(text)
}
