package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// cluster is a namespace of a cluster, and the database of its migration.
type cluster struct {
	*testing.T
	image, namespace string
	deploy           string // a copy of the manifests
	sql              func(query string) string
}

func newCluster(t *testing.T, image string) *cluster {
	c := &cluster{T: t, image: image, namespace: "tokenmigrate-test-" + strconv.FormatInt(time.Now().Unix(), 36), deploy: t.TempDir()}
	for _, dir := range []string{"base", "components"} {
		must(t, os.CopyFS(filepath.Join(c.deploy, dir), os.DirFS("../"+dir)))
	}
	space, err := os.ReadFile("../overlays/example/namespace.yaml")
	must(t, err)
	c.kubectl(strings.Replace(string(space), "name: tokenmigrate", "name: "+c.namespace, 1), "apply", "-f", "-")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.kubectl("", "describe", "jobs,pods"))
		}
		c.kubectl("", "delete", "namespace", c.namespace, "--wait=false")
	})
	url := c.database()
	c.sql(fmt.Sprintf(`CREATE TABLE oauth_accounts AS SELECT n AS id, 'user-' || n AS user_id, 'xoxb-' || n AS access_token,
		now() + interval '1 day' AS expires_at FROM generate_series(1, %d) n`, clusterTokens))
	for _, secret := range []string{"source --from-literal=source-url=" + url, "checkpoint --from-literal=checkpoint-url=" + url, "destination --from-literal=destination-token=any"} {
		name, from, _ := strings.Cut(secret, " ")
		c.kubectl("", "create", "secret", "generic", "tokenmigrate-"+name, from)
	}
	return c
}

// kubectl runs kubectl in the namespace and returns what it says.
func (c *cluster) kubectl(stdin string, args ...string) string {
	c.Helper()
	out, err := c.try(stdin, args...)
	if err != nil {
		c.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *cluster) try(stdin string, args ...string) (string, error) {
	cmd := exec.Command("kubectl", append([]string{"--namespace=" + c.namespace}, args...)...) //nolint:gosec // the test's own words
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return stderr.String(), err
	}
	return string(out), nil
}

// get reads an object, or a list of them.
func (c *cluster) get(into any, args ...string) {
	c.Helper()
	must(c, json.Unmarshal([]byte(c.kubectl("", append([]string{"get", "-o", "json"}, args...)...)), into))
}

// until waits for something to become true.
func (c *cluster) until(what string, is func() bool) {
	c.Helper()
	for end := time.Now().Add(4 * time.Minute); !is(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("after minutes it is still not so that %s", what)
		}
	}
	c.Log(time.Now().Format(time.TimeOnly), what)
}

// apply applies an overlay whose run has this name. more[0] is added to the
// configuration, more[1] to what the endpoint is started with. Migrations other than
// the first are not slowed down.
func (c *cluster) apply(name, migration string, more ...string) {
	c.Helper()
	more = append(more, "", "")
	dir := filepath.Join(c.deploy, "overlays", name)
	must(c, os.MkdirAll(dir, 0o700))
	text, err := os.ReadFile("testdata/cluster-config.yaml")
	must(c, err)
	config := strings.Replace(string(text), "cluster-test", migration, 1) + more[0] + "\n"
	if migration != "cluster-test" {
		config = strings.Replace(config, "requests_per_minute: 60", "requests_per_minute: 3000", 1)
	}
	text, err = os.ReadFile("testdata/cluster.yaml")
	must(c, err)
	sidecar := string(text)
	if more[1] != "" {
		sidecar = strings.Replace(sidecar, "--limit=0", "--limit=0, "+more[1], 1)
	}
	repository, tag, _ := cutLast(c.image, ":")
	some := []string{"check", "dry-run"}
	if name != "one" {
		some = nil
	}
	for file, text := range map[string]string{
		"tokenmigrate.yaml": config,
		"sidecar.yaml":      sidecar,
		"kustomization.yaml": overlay(some, fmt.Sprintf(`
namespace: %s
nameSuffix: -%s
images:
- {name: registry.example.com/tokenmigrate, newName: %s, newTag: %q}
configMapGenerator:
- {name: tokenmigrate-config, behavior: replace, files: [tokenmigrate.yaml]}
patches:
- {path: sidecar.yaml, target: {kind: Job}}
`, c.namespace, name, repository, tag)),
	} {
		must(c, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
	}
	c.Log(c.kubectl("", "apply", "--validate=strict", "-k", dir))
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 || strings.Contains(s[i:], "/") {
		return s, "latest", false
	}
	return s[:i], s[i+len(sep):], true
}

// database makes the database, sets what queries it, and returns the URL by which
// pods reach it.
func (c *cluster) database() string {
	image := os.Getenv("TOKENMIGRATE_TEST_POSTGRES_IMAGE")
	if image == "" {
		url := emptyDatabase(c)
		c.sql = func(query string) string { return queryText(c, url, query) }
		return url
	}
	text, err := os.ReadFile("testdata/postgres.yaml")
	must(c, err)
	c.kubectl(strings.Replace(string(text), "POSTGRES_IMAGE", image, 1), "apply", "--validate=strict", "-f", "-")
	c.kubectl("", "wait", "--for=condition=Ready", "pod/postgres", "--timeout=240s")
	c.sql = func(query string) string {
		return strings.TrimSpace(c.kubectl("", "exec", "postgres", "--", "psql", "-h", "127.0.0.1", "-U", "postgres", "-qAtc", query))
	}
	return "postgres://postgres@postgres:5432/postgres?sslmode=disable"
}

// imported returns how many tokens the checkpoint has as imported.
func (c *cluster) imported() int {
	c.Helper()
	if c.sql(`SELECT to_regclass('tokenmigrate.tokens') IS NOT NULL`) != "t" {
		return 0
	}
	n, err := strconv.Atoi(c.sql(`SELECT count(*) FROM tokenmigrate.tokens WHERE outcome = 'imported' AND migration_id = (SELECT id FROM tokenmigrate.migrations WHERE name = 'cluster-test')`))
	must(c, err)
	return n
}

// each expects that all tokens are imported, and each was sent so many times.
func (c *cluster) each(times int) {
	c.Helper()
	if n, sent := c.imported(), c.sql(`SELECT min(attempts) || ' ' || max(attempts) FROM tokenmigrate.tokens WHERE outcome = 'imported'`); n != clusterTokens || sent != fmt.Sprintf("%d %d", times, times) {
		c.Errorf("%d tokens are imported, want %d, sent at least and at most %s times, want %d", n, clusterTokens, sent, times)
	}
}

func (c *cluster) pods(job string) []corev1.Pod {
	c.Helper()
	var list corev1.PodList
	c.get(&list, "pods", "--selector=batch.kubernetes.io/job-name="+job)
	return list.Items
}

// running returns the Job's pod that is not over; "" if there is none.
func (c *cluster) running(job string) string {
	c.Helper()
	for _, p := range c.pods(job) {
		if p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodPending {
			return p.Name
		}
	}
	return ""
}

// working waits until the Job's pod gets tokens imported, and returns it.
func (c *cluster) working(job string) (name string) {
	c.Helper()
	at := c.imported()
	c.until(job+" imports", func() bool {
		c.goesOn(job)
		name = c.running(job)
		return name != "" && c.imported() > at+2
	})
	return name
}

// evict asks for what a node's drain asks for.
func (c *cluster) evict(pod string) {
	c.Helper()
	c.kubectl(fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":%q,"namespace":%q}}`, pod, c.namespace),
		"create", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/eviction", c.namespace, pod), "-f", "-")
}

// replaced waits until another pod runs in a pod's place, and expects that there
// were never two.
func (c *cluster) replaced(job, pod string) {
	c.Helper()
	c.until(pod+" is replaced", func() bool {
		c.goesOn(job)
		alive := 0
		for _, p := range c.pods(job) {
			if p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodPending {
				alive++
			}
		}
		if alive > 1 {
			c.Errorf("%s: %d pods of one shard at a time", job, alive)
		}
		name := c.running(job)
		return name != "" && name != pod
	})
}

func (c *cluster) suspend(job string, is bool) {
	c.Helper()
	c.kubectl("", "patch", "job", job, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"suspend":%v}}`, is))
}

// completes waits until the Job is complete.
func (c *cluster) completes(name string) (job batchv1.Job) {
	c.Helper()
	c.until(name+" is complete", func() bool {
		c.goesOn(name)
		c.get(&job, "job", name)
		return condition(&job, batchv1.JobComplete) != nil
	})
	return job
}

// goesOn expects that the Job has not failed.
func (c *cluster) goesOn(job string) {
	c.Helper()
	if reason := c.failed(job); reason != "" {
		c.Fatalf("%s has failed: %s", job, reason)
	}
}

// failed returns why the Job has failed; "" if it has not.
func (c *cluster) failed(name string) string {
	c.Helper()
	var job batchv1.Job
	c.get(&job, "job", name)
	if found := condition(&job, batchv1.JobFailed); found != nil {
		return found.Reason
	}
	return ""
}

func condition(job *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if found := &job.Status.Conditions[i]; found.Type == kind && found.Status == corev1.ConditionTrue {
			return found
		}
	}
	return nil
}

// says expects words in the last message of a pod of the Job.
func (c *cluster) says(job, words string) {
	c.Helper()
	for _, p := range c.pods(job) {
		for _, s := range p.Status.ContainerStatuses {
			if s.State.Terminated != nil && strings.Contains(s.State.Terminated.Message, words) {
				return
			}
		}
	}
	c.Errorf("no pod of %s has told %q", job, words)
}
