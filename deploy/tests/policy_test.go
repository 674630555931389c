package tests

import (
	"fmt"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// What a Job does about a pod that ended.
const (
	complete  = "complete"  // the index is done
	retry     = "retry"     // counted, and replaced while the index has retries left
	replace   = "replace"   // replaced, and not counted
	giveUp    = "give up"   // the index is failed for good
	stop      = "stop"      // the whole Job is failed for good
	untouched = "untouched" // it runs on
)

// pod is how a pod stands, as the Job controller sees it.
type pod struct {
	worker    int  // exit code
	sidecar   *int // likewise, of a native sidecar
	disrupted bool // condition DisruptionTarget
	running   bool
}

// status returns the pod's status. A pod has failed if a container of its own did,
// whatever became of sidecars.
func (p pod) status() corev1.PodStatus {
	terminated := func(name string, code int) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: int32(code)}}}
	}
	var s corev1.PodStatus
	if p.disrupted {
		s.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}
	}
	if p.sidecar != nil {
		s.InitContainerStatuses = []corev1.ContainerStatus{terminated("cloud-sql-proxy", *p.sidecar)}
	}
	switch {
	case p.running:
		s.Phase = corev1.PodRunning
		return s
	case p.worker == 0:
		s.Phase = corev1.PodSucceeded
	default:
		s.Phase = corev1.PodFailed
	}
	s.ContainerStatuses = []corev1.ContainerStatus{terminated("worker", p.worker)}
	return s
}

// verdict plays the Job controller: the first rule that matches a failed pod
// decides, and without one it is counted.
func verdict(job *batchv1.Job, s corev1.PodStatus) string {
	switch s.Phase {
	case corev1.PodSucceeded:
		return complete
	case corev1.PodFailed:
	default:
		return untouched
	}
	for _, rule := range job.Spec.PodFailurePolicy.Rules {
		if matchesCodes(rule.OnExitCodes, s) || matchesConditions(rule.OnPodConditions, s) {
			switch rule.Action {
			case batchv1.PodFailurePolicyActionFailJob:
				return stop
			case batchv1.PodFailurePolicyActionFailIndex:
				return giveUp
			case batchv1.PodFailurePolicyActionIgnore:
				return replace
			}
			return retry
		}
	}
	return retry
}

func matchesCodes(r *batchv1.PodFailurePolicyOnExitCodesRequirement, s corev1.PodStatus) bool {
	if r == nil {
		return false
	}
	for _, c := range slices.Concat(s.ContainerStatuses, s.InitContainerStatuses) {
		t := c.State.Terminated
		if t == nil || t.ExitCode == 0 || r.ContainerName != nil && *r.ContainerName != c.Name {
			continue
		}
		if slices.Contains(r.Values, t.ExitCode) == (r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn) {
			return true
		}
	}
	return false
}

func matchesConditions(patterns []batchv1.PodFailurePolicyOnPodConditionsPattern, s corev1.PodStatus) bool {
	return slices.ContainsFunc(patterns, func(p batchv1.PodFailurePolicyOnPodConditionsPattern) bool {
		return slices.ContainsFunc(s.Conditions, func(c corev1.PodCondition) bool { return c.Type == p.Type && c.Status == p.Status })
	})
}

// ends are all the ways a pod can end, and what has to become of the Job then.
var ends = []struct {
	name string
	pod  pod
	want string
}{
	{"finished", pod{worker: 0}, complete},
	{"unexpected error", pod{worker: 1}, retry},
	{"panic", pod{worker: 2}, retry},
	{"more than max_failed not imported", pod{worker: 3}, giveUp},
	{"the endpoint refuses", pod{worker: 4}, stop},
	{"a database or the endpoint is away", pod{worker: 5}, retry},
	{"another worker holds the lease", pod{worker: 6}, replace},
	{"kubectl delete pod: drained", pod{worker: 75}, replace},
	{"kubectl delete pod: before the worker could tell", pod{worker: 143}, replace},
	{"kubectl delete pod: finished just then", pod{worker: 0}, complete},
	{"kubectl delete pod: killed after the grace period", pod{worker: 137}, retry},
	{"configuration", pod{worker: 78}, stop},
	{"out of memory", pod{worker: 137}, retry},
	{"evicted: drained", pod{worker: 75, disrupted: true}, replace},
	{"evicted: killed after the grace period", pod{worker: 137, disrupted: true}, replace},
	{"evicted: finished just then", pod{worker: 0, disrupted: true}, complete},
	{"evicted, with a code that would fail the index", pod{worker: 3, disrupted: true}, replace},
	{"evicted, with a code that would fail the Job", pod{worker: 4, disrupted: true}, replace},
	{"evicted, with another such code", pod{worker: 78, disrupted: true}, replace},
	{"evicted while it failed", pod{worker: 1, disrupted: true}, replace},
	{"node lost and deleted", pod{worker: 137, disrupted: true}, replace},
	{"suspended: it still drains", pod{running: true}, untouched},
	{"finished, and the sidecar was stopped", pod{worker: 0, sidecar: new(143)}, complete},
	{"finished, and the sidecar failed with 78", pod{worker: 0, sidecar: new(78)}, complete},
	{"failed, and the sidecar was stopped", pod{worker: 1, sidecar: new(143)}, retry},
	{"failed, and the sidecar ended with 78", pod{worker: 5, sidecar: new(78)}, retry},
	{"the sidecar died, and the worker waits", pod{running: true, sidecar: new(78)}, untouched},
	{"drained, and the sidecar ended with 4", pod{worker: 75, sidecar: new(4)}, replace},
}

// policyProblems plays every end of a pod against a Job.
func policyProblems(job *batchv1.Job) []string {
	var problems []string
	for _, end := range ends {
		if got := verdict(job, end.pod.status()); got != end.want {
			problems = append(problems, fmt.Sprintf("%s (exit code %d): the Job's policy is to %s, want %s", end.name, end.pod.worker, got, end.want))
		}
	}
	for i, rule := range job.Spec.PodFailurePolicy.Rules {
		if r := rule.OnExitCodes; r != nil && (r.ContainerName == nil || *r.ContainerName != "worker") {
			problems = append(problems, fmt.Sprintf("podFailurePolicy rule %d is not about the worker alone", i))
		} else if r != nil && !slices.IsSorted(r.Values) {
			problems = append(problems, fmt.Sprintf("podFailurePolicy rule %d: the API server wants sorted values, got %v", i, r.Values))
		}
	}
	return problems
}

func TestPodFailurePolicy(t *testing.T) {
	for _, some := range combinations() {
		for name, job := range render(t, overlay(some, settings)).jobs {
			for _, problem := range policyProblems(job) {
				t.Errorf("components %v: %s: %s", some, name, problem)
			}
		}
	}
}

// An index has backoffLimitPerIndex retries; a Job of several goes on while no
// more than maxFailedIndexes are given up.
func TestRetries(t *testing.T) {
	job := render(t, overlay(nil, "")).jobs["run"]
	if retries, failed := *job.Spec.BackoffLimitPerIndex, *job.Spec.MaxFailedIndexes; retries != 5 || failed != 0 {
		t.Errorf("a single worker has %d retries and %d failures of its index left, want 5 and none", retries, failed)
	}
	sharded := render(t, overlay([]string{"sharded"}, settings)).jobs["run"]
	if retries, failed := *sharded.Spec.BackoffLimitPerIndex, *sharded.Spec.MaxFailedIndexes; retries != 5 || failed != 1 {
		t.Errorf("a shard has %d retries, and %d shards may be given up, want 5 and one", retries, failed)
	}
	if check := render(t, overlay([]string{"check"}, "")).jobs["check"]; *check.Spec.BackoffLimitPerIndex != 2 {
		t.Errorf("the check has %d retries, want 2", *check.Spec.BackoffLimitPerIndex)
	}
}
