package tests

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// components are the components in the order in which the README has them listed.
var components = []string{"check", "dry-run", "sharded", "cloud-sql-proxy", "monitoring", "kueue"}

// combinations returns every subset of the components.
func combinations() [][]string {
	var all [][]string
	for bits := range 1 << len(components) {
		var some []string
		for i, c := range components {
			if bits>>i&1 == 1 {
				some = append(some, c)
			}
		}
		all = append(all, some)
	}
	return all
}

// overlay returns a kustomization over the base with these components; more is
// added at its end.
func overlay(some []string, more string) string {
	var b strings.Builder
	b.WriteString("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../base]\ncomponents:\n")
	for _, c := range some {
		fmt.Fprintf(&b, "- ../../components/%s\n", c)
	}
	return b.String() + more
}

// settings is the part of an overlay that tells the components what they need.
const settings = `
namespace: team
nameSuffix: -acme-7
configMapGenerator:
- name: tokenmigrate-settings
  behavior: merge
  literals: [shards=8, "cloud-sql-instance=acme:europe-west1:accounts", kueue-queue=batch, "runbook=https://git.acme.example/RUNBOOK.md"]
`

// rendered keeps what render returned, which many tests ask for.
var rendered = map[string]*manifests{}

// render renders a kustomization of this text, as kubectl would that of a folder
// beside overlays/example. What it returns is shared, and must not be changed.
func render(t testing.TB, kustomization string) *manifests {
	t.Helper()
	if m, ok := rendered[kustomization]; ok {
		return m
	}
	fs := deployFolder(t)
	must(t, fs.WriteFile("/deploy/overlays/test/kustomization.yaml", []byte(kustomization)))
	rendered[kustomization] = renderFolder(t, fs, "/deploy/overlays/test")
	return rendered[kustomization]
}

// deployFolder returns a copy of the manifests, in memory at /deploy.
func deployFolder(t testing.TB) filesys.FileSystem {
	t.Helper()
	fs := filesys.MakeFsInMemory()
	for _, dir := range []string{"base", "components", "overlays"} {
		must(t, filepath.WalkDir(filepath.Join("..", dir), func(name string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return fs.WriteFile(path.Join("/deploy/overlays", filepath.ToSlash(name)), content)
		}))
	}
	return fs
}

func renderFolder(t testing.TB, fs filesys.FileSystem, dir string) *manifests {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, dir)
	must(t, err)
	m := &manifests{jobs: map[string]*batchv1.Job{}}
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		must(t, err)
		object, err := decode(text)
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", r.GetKind(), r.GetName(), err, text)
		}
		m.add(t, r.GetKind(), object)
	}
	return m
}

// manifests are rendered objects, by what they are.
type manifests struct {
	kinds    []string
	jobs     map[string]*batchv1.Job // by component: run, check, dry-run
	account  *corev1.ServiceAccount
	configs  []*corev1.ConfigMap
	secrets  []*corev1.Secret
	networks []*networkingv1.NetworkPolicy
	space    *corev1.Namespace
	monitor  *monitoringv1.PodMonitor
	rule     *monitoringv1.PrometheusRule
}

func (m *manifests) add(t testing.TB, kind string, object runtime.Object) {
	t.Helper()
	m.kinds = append(m.kinds, kind)
	slices.Sort(m.kinds)
	switch o := object.(type) {
	case *batchv1.Job:
		component := o.Labels["app.kubernetes.io/component"]
		if m.jobs[component] != nil {
			t.Errorf("two Jobs are labelled as component %q", component)
		}
		m.jobs[component] = o
	case *corev1.ServiceAccount:
		m.account = o
	case *corev1.ConfigMap:
		m.configs = append(m.configs, o)
	case *corev1.Secret:
		m.secrets = append(m.secrets, o)
	case *corev1.Namespace:
		m.space = o
	case *networkingv1.NetworkPolicy:
		m.networks = append(m.networks, o)
	case *monitoringv1.PodMonitor:
		m.monitor = o
	case *monitoringv1.PrometheusRule:
		m.rule = o
	default:
		t.Errorf("nobody expects a %s here", kind)
	}
}

var strict = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{batchv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, monitoringv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
}()

// decode reads an object into its published type, as strictly as the API server
// does if asked for strict validation: fields that are unknown, stand twice or are
// written in other case are errors.
func decode(text []byte) (runtime.Object, error) {
	object, _, err := strict.Decode(text, nil, nil)
	return object, err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// worker returns the Job's worker.
func worker(job *batchv1.Job) *corev1.Container {
	for i := range job.Spec.Template.Spec.Containers {
		if c := &job.Spec.Template.Spec.Containers[i]; c.Name == "worker" {
			return c
		}
	}
	return &corev1.Container{}
}

// env returns a variable of a container; "" if it has none.
func env(c *corev1.Container, name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
