package tests

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// longestName leaves room for what is appended to a Job's name in that of a pod's
// host: "-" and the index.
const longestName = 57

// expectations are what is expected of every Job, whatever it runs.
var expectations = []struct {
	what string
	of   func(*batchv1.Job) bool
}{
	{"completionMode: Indexed", func(j *batchv1.Job) bool { return *j.Spec.CompletionMode == batchv1.IndexedCompletion }},
	{"no backoffLimit, which counts all indexes together", func(j *batchv1.Job) bool { return j.Spec.BackoffLimit == nil }},
	{"podReplacementPolicy: Failed", func(j *batchv1.Job) bool {
		return j.Spec.PodReplacementPolicy != nil && *j.Spec.PodReplacementPolicy == batchv1.Failed
	}},
	{"activeDeadlineSeconds of the Job, not of the pod", func(j *batchv1.Job) bool {
		return j.Spec.ActiveDeadlineSeconds != nil && j.Spec.Template.Spec.ActiveDeadlineSeconds == nil
	}},
	{"ttlSecondsAfterFinished: 604800", func(j *batchv1.Job) bool { return *j.Spec.TTLSecondsAfterFinished == 604800 }},
	{"maxFailedIndexes of at most the completions", func(j *batchv1.Job) bool { return *j.Spec.MaxFailedIndexes <= *j.Spec.Completions }},
	{"parallelism of all shards", func(j *batchv1.Job) bool { return *j.Spec.Parallelism == *j.Spec.Completions }},
	{"restartPolicy: Never", func(j *batchv1.Job) bool { return j.Spec.Template.Spec.RestartPolicy == corev1.RestartPolicyNever }},
	{"terminationGracePeriodSeconds: 90", func(j *batchv1.Job) bool { return *j.Spec.Template.Spec.TerminationGracePeriodSeconds == 90 }},
	{"no service account token", func(j *batchv1.Job) bool { return !*j.Spec.Template.Spec.AutomountServiceAccountToken }},
	{"no service links", func(j *batchv1.Job) bool { return !*j.Spec.Template.Spec.EnableServiceLinks }},
	{"a user and a group that are not root's", func(j *batchv1.Job) bool {
		s := j.Spec.Template.Spec.SecurityContext
		return *s.RunAsNonRoot && *s.RunAsUser == 65532 && *s.RunAsGroup == 65532
	}},
	{"a read-only root for every container", func(j *batchv1.Job) bool {
		return everyContainer(j, func(c *corev1.Container) bool { return *c.SecurityContext.ReadOnlyRootFilesystem })
	}},
	{"a memory limit that is the request, for every container", func(j *batchv1.Job) bool {
		return everyContainer(j, func(c *corev1.Container) bool {
			limit, request := c.Resources.Limits.Memory(), c.Resources.Requests.Memory()
			return !limit.IsZero() && limit.Equal(*request) && !c.Resources.Requests.Cpu().IsZero()
		})
	}},
	{"terminationMessagePolicy: FallbackToLogsOnError for every container", func(j *batchv1.Job) bool {
		return everyContainer(j, func(c *corev1.Container) bool {
			return c.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError
		})
	}},
	{"no probe of the worker", func(j *batchv1.Job) bool {
		return worker(j).LivenessProbe == nil && worker(j).ReadinessProbe == nil && worker(j).StartupProbe == nil
	}},
	{"a startup probe of each sidecar, whose ports are its own", func(j *batchv1.Job) bool {
		return !slices.ContainsFunc(j.Spec.Template.Spec.InitContainers, func(c corev1.Container) bool {
			return c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways || c.StartupProbe == nil ||
				slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == 9090 })
		})
	}},
	{"no secret in the environment", func(j *batchv1.Job) bool {
		return everyContainer(j, func(c *corev1.Container) bool {
			return len(c.EnvFrom) == 0 && !slices.ContainsFunc(c.Env, func(v corev1.EnvVar) bool { return v.ValueFrom != nil })
		})
	}},
	{"GOMEMLIMIT of 85 to 95 % of the memory limit", func(j *batchv1.Job) bool {
		limit, err := resource.ParseQuantity(strings.TrimSuffix(env(worker(j), "GOMEMLIMIT"), "B"))
		share := float64(limit.Value()) / float64(worker(j).Resources.Limits.Memory().Value())
		return err == nil && share >= .85 && share <= .95
	}},
	{"GOMAXPROCS, since no CPU limit bounds it", func(j *batchv1.Job) bool {
		n, err := strconv.Atoi(env(worker(j), "GOMAXPROCS"))
		return err == nil && n > 0 && worker(j).Resources.Limits.Cpu().IsZero()
	}},
	{"configuration and Secrets in one projected, read-only volume, readable to the group that fsGroup gives it", readableConfig},
	{"a name of at most 57 characters that begins as alerts expect", func(j *batchv1.Job) bool {
		return len(j.Name) <= longestName && strings.HasPrefix(j.Name, "tokenmigrate") && len(validation.IsDNS1123Label(j.Name)) == 0
	}},
	{"its pods labelled as itself", func(j *batchv1.Job) bool {
		l := j.Spec.Template.Labels
		return l["app.kubernetes.io/name"] == "tokenmigrate" && l["app.kubernetes.io/component"] == j.Labels["app.kubernetes.io/component"]
	}},
	{"the worker's log as the default of kubectl logs", func(j *batchv1.Job) bool {
		return j.Spec.Template.Annotations["kubectl.kubernetes.io/default-container"] == "worker"
	}},
	{"only the migration suspended", func(j *batchv1.Job) bool {
		return *j.Spec.Suspend == (j.Labels["app.kubernetes.io/component"] == "run")
	}},
}

func everyContainer(j *batchv1.Job, is func(*corev1.Container) bool) bool {
	spec := j.Spec.Template.Spec
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		if !is(&c) {
			return false
		}
	}
	return true
}

func readableConfig(j *batchv1.Job) bool {
	spec := j.Spec.Template.Spec
	if spec.SecurityContext.FSGroup == nil || *spec.SecurityContext.FSGroup != 65532 {
		return false
	}
	mounted := slices.ContainsFunc(worker(j).VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.Name == "config" && m.MountPath == "/etc/tokenmigrate" && m.ReadOnly && m.SubPath == ""
	})
	return mounted && slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool {
		return v.Name == "config" && v.Projected != nil && *v.Projected.DefaultMode == 0440 && len(v.Projected.Sources) > 1
	})
}

// jobProblems tells what is wrong with a Job, its policy and its pods' security
// included.
func jobProblems(job *batchv1.Job) (problems []string) {
	for _, e := range expectations {
		if !holds(job, e.of) {
			problems = append(problems, "expected "+e.what)
		}
	}
	return slices.Concat(problems, policyProblems(job), securityProblems(&job.Spec.Template))
}

// holds takes a field that is not there for one that is wrong.
func holds(job *batchv1.Job, of func(*batchv1.Job) bool) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return of(job)
}

// securityProblems asks Pod Security's own evaluator, at its strictest and newest.
func securityProblems(pod *corev1.PodTemplateSpec) (problems []string) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return []string{err.Error()}
	}
	for _, r := range evaluator.EvaluatePod(psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
		if !r.Allowed {
			problems = append(problems, fmt.Sprintf("Pod Security restricted: %s (%s)", r.ForbiddenReason, r.ForbiddenDetail))
		}
	}
	return problems
}

func TestJobs(t *testing.T) {
	for _, some := range combinations() {
		for _, more := range []string{"", settings} {
			m := render(t, overlay(some, more))
			want := 1
			for _, c := range []string{"check", "dry-run"} {
				if slices.Contains(some, c) {
					want++
				}
			}
			if len(m.jobs) != want || m.jobs["run"] == nil {
				t.Fatalf("components %v: got %d Jobs, want %d, the migration among them", some, len(m.jobs), want)
			}
			for name, job := range m.jobs {
				for _, problem := range jobProblems(job) {
					t.Errorf("components %v: Job %s: %s", some, name, problem)
				}
			}
		}
	}
}

// What the tests above are for is noticed by them.
func TestBrokenJobs(t *testing.T) {
	for name, spoil := range map[string]func(*batchv1.Job){
		"rules in the order of the Kubernetes documentation": func(j *batchv1.Job) {
			r := j.Spec.PodFailurePolicy.Rules
			r[0], r[1] = r[1], r[0]
		},
		"a rule for any container":     func(j *batchv1.Job) { j.Spec.PodFailurePolicy.Rules[1].OnExitCodes.ContainerName = nil },
		"a code forgotten":             func(j *batchv1.Job) { j.Spec.PodFailurePolicy.Rules[3].OnExitCodes.Values = []int32{6, 75} },
		"values out of order":          func(j *batchv1.Job) { j.Spec.PodFailurePolicy.Rules[1].OnExitCodes.Values = []int32{78, 4} },
		"no fsGroup":                   func(j *batchv1.Job) { j.Spec.Template.Spec.SecurityContext.FSGroup = nil },
		"no seccomp profile":           func(j *batchv1.Job) { j.Spec.Template.Spec.SecurityContext.SeccompProfile = nil },
		"a sidecar with privileges":    func(j *batchv1.Job) { j.Spec.Template.Spec.InitContainers[0].SecurityContext = nil },
		"a mode for the owner alone":   func(j *batchv1.Job) { *j.Spec.Template.Spec.Volumes[0].Projected.DefaultMode = 0400 },
		"a mode that is not octal":     func(j *batchv1.Job) { *j.Spec.Template.Spec.Volumes[0].Projected.DefaultMode = 440 },
		"a deadline of the pod":        func(j *batchv1.Job) { j.Spec.Template.Spec.ActiveDeadlineSeconds = new(int64(1)) },
		"pods replaced too early":      func(j *batchv1.Job) { *j.Spec.PodReplacementPolicy = batchv1.TerminatingOrFailed },
		"replacement left to defaults": func(j *batchv1.Job) { j.Spec.PodReplacementPolicy = nil },
		"restarts in place":            func(j *batchv1.Job) { j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure },
		"a long name":                  func(j *batchv1.Job) { j.Name += strings.Repeat("x", longestName) },
	} {
		job := render(t, overlay([]string{"cloud-sql-proxy"}, "")).jobs["run"].DeepCopy()
		if problems := jobProblems(job); len(problems) > 0 {
			t.Fatalf("before it is spoilt: %q", problems)
		}
		if spoil(job); len(jobProblems(job)) == 0 {
			t.Errorf("%s: nothing noticed it", name)
		}
	}
}
