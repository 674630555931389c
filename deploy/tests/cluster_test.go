package tests

import (
	"os"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
)

// clusterTokens is how many are migrated, one a second.
const clusterTokens = 60

// TestCluster runs the base and its check and dry-run in the cluster that
// $KUBECONFIG names, in a namespace of its own that goes with the test, and does to
// the migration what clusters do. It needs kubectl, and
//
//   - TOKENMIGRATE_TEST_IMAGE: the program's image, as the cluster knows it;
//   - TOKENMIGRATE_TEST_POSTGRES_IMAGE: an official Postgres image, for a database in
//     the cluster. Without it TOKENMIGRATE_TEST_DATABASE_URL has to be a server that
//     is reached by the same URL from here and from pods.
func TestCluster(t *testing.T) {
	image := os.Getenv("TOKENMIGRATE_TEST_IMAGE")
	if os.Getenv("KUBECONFIG") == "" || image == "" {
		t.Skip("KUBECONFIG and TOKENMIGRATE_TEST_IMAGE name no cluster and no image")
	}
	c := newCluster(t, image)

	c.apply("one", "cluster-test")
	c.completes("tokenmigrate-check-one")
	c.completes("tokenmigrate-dry-run-one")
	const run = "tokenmigrate-one"
	if pods := c.pods(run); len(pods) != 0 || c.imported() != 0 {
		t.Fatalf("before it is resumed the migration has %d pods, and %d tokens are imported", len(pods), c.imported())
	}

	c.suspend(run, false)
	evicted := c.working(run)
	c.evict(evicted)
	c.replaced(run, evicted)

	deleted := c.working(run)
	c.kubectl("", "delete", "pod", deleted, "--wait=false")
	c.replaced(run, deleted)

	c.working(run)
	c.suspend(run, true)
	c.until("the suspended migration has no pod that runs", func() bool { return c.running(run) == "" })
	at := c.imported()
	c.suspend(run, false)
	c.until("the resumed migration goes on", func() bool { return c.imported() > at })

	job := c.completes(run)
	if job.Status.Failed != 0 || job.Status.Succeeded != 1 || job.Status.CompletedIndexes != "0" {
		t.Errorf("what was done to it has counted: %d failed, %d succeeded, indexes %q completed", job.Status.Failed, job.Status.Succeeded, job.Status.CompletedIndexes)
	}
	c.each(1)
	c.says(run, `"exitCode":0`)

	// Another run finds nothing to do.
	c.apply("two", "cluster-test")
	c.suspend("tokenmigrate-two", false)
	c.completes("tokenmigrate-two")
	c.each(1)

	// What can never work stops at once, and says why.
	for _, end := range []struct{ name, more, endpoint, reason, says string }{
		{"code-78", "sned: {}", "", batchv1.JobReasonPodFailurePolicy, "sned"},
		{"code-4", "", "--connector=slack/other", batchv1.JobReasonPodFailurePolicy, `"exitCode":4`},
		{"code-3", "", "--refuse-subject=user-7", batchv1.JobReasonMaxFailedIndexesExceeded, `"exitCode":3`},
	} {
		c.apply(end.name, "cluster-"+end.name, end.more, end.endpoint)
		job := "tokenmigrate-" + end.name
		c.suspend(job, false)
		c.until(job+" has failed", func() bool { return c.failed(job) != "" })
		if reason := c.failed(job); reason != end.reason {
			c.Errorf("%s has failed for %s, want %s", job, reason, end.reason)
		}
		c.says(job, end.says)
		if pods := c.pods(job); len(pods) != 1 {
			t.Errorf("%s had %d pods, want one", job, len(pods))
		}
	}
}
