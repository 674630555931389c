package tests

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// peer is the other end of a connection: an address outside of the cluster, or a
// pod by its namespace's and its own labels.
type peer struct {
	ip             string
	namespace, pod labels.Set
}

func (p peer) String() string {
	if p.ip != "" {
		return p.ip
	}
	return fmt.Sprintf("pod %v of namespace %v", p.pod, p.namespace)
}

// allowed plays a network plugin: what a pod's policies do not let through is
// refused, if there is one for that direction at all.
func allowed(all []*networkingv1.NetworkPolicy, pod labels.Set, direction networkingv1.PolicyType, other peer, protocol corev1.Protocol, port int32) bool {
	denied := false
	for _, policy := range all {
		if !selects(&policy.Spec.PodSelector, pod) || !slices.Contains(policy.Spec.PolicyTypes, direction) {
			continue
		}
		denied = true
		if direction == networkingv1.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				if hasPeer(rule.From, other) && hasPort(rule.Ports, protocol, port) {
					return true
				}
			}
			continue
		}
		for _, rule := range policy.Spec.Egress {
			if hasPeer(rule.To, other) && hasPort(rule.Ports, protocol, port) {
				return true
			}
		}
	}
	return !denied
}

// selects is for selectors that are there: an empty one selects everything.
func selects(s *metav1.LabelSelector, set labels.Set) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(set)
}

func hasPeer(peers []networkingv1.NetworkPolicyPeer, other peer) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			ip, err := netip.ParseAddr(other.ip)
			return err == nil && netip.MustParsePrefix(p.IPBlock.CIDR).Contains(ip) &&
				!slices.ContainsFunc(p.IPBlock.Except, func(e string) bool { return netip.MustParsePrefix(e).Contains(ip) })
		}
		return other.ip == "" && p.NamespaceSelector != nil && selects(p.NamespaceSelector, other.namespace) &&
			(p.PodSelector == nil || selects(p.PodSelector, other.pod))
	})
}

func hasPort(ports []networkingv1.NetworkPolicyPort, protocol corev1.Protocol, port int32) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		return *p.Protocol == protocol && (p.Port == nil || p.Port.IntVal == port)
	})
}

var (
	dns      = peer{namespace: labels.Set{"kubernetes.io/metadata.name": "kube-system"}, pod: labels.Set{"k8s-app": "kube-dns"}}
	database = peer{namespace: labels.Set{"kubernetes.io/metadata.name": "data"}, pod: labels.Set{"app": "postgres"}}
	scraper  = peer{namespace: labels.Set{"kubernetes.io/metadata.name": "observe"}, pod: labels.Set{"app.kubernetes.io/name": "prometheus"}}
	metadata = []peer{{ip: "169.254.169.254"}, {ip: "169.254.170.2"}, {ip: "169.254.20.10"}, {ip: "fe80::1"}, {ip: "fd00:ec2::254"}, {ip: "fd00:ec2::23"}}
)

const (
	tcp     = corev1.ProtocolTCP
	udp     = corev1.ProtocolUDP
	egress  = networkingv1.PolicyTypeEgress
	ingress = networkingv1.PolicyTypeIngress
)

func TestNetwork(t *testing.T) {
	for _, some := range combinations() {
		m := render(t, overlay(some, settings))
		proxied, monitored := slices.Contains(some, "cloud-sql-proxy"), slices.Contains(some, "monitoring")
		for name, job := range m.jobs {
			expect := func(want bool, direction networkingv1.PolicyType, other peer, protocol corev1.Protocol, port int32) {
				t.Helper()
				if got := allowed(m.networks, job.Spec.Template.Labels, direction, other, protocol, port); got != want {
					t.Errorf("components %v: %s: %s %s %s %d: allowed is %v, want %v", some, name, direction, other, protocol, port, got, want)
				}
			}
			expect(true, egress, dns, udp, 53)
			expect(true, egress, dns, tcp, 53)
			for _, ip := range []string{"10.1.2.3", "203.0.113.7", "2001:db8::7"} {
				expect(true, egress, peer{ip: ip}, tcp, 5432)
				expect(true, egress, peer{ip: ip}, tcp, 443)
				for _, port := range []int32{22, 53, 80, 6443, 8080} {
					expect(false, egress, peer{ip: ip}, tcp, port)
				}
				expect(false, egress, peer{ip: ip}, udp, 53)
				expect(false, egress, peer{ip: ip}, udp, 443)
			}
			expect(true, egress, database, tcp, 5432)
			expect(false, egress, database, tcp, 443)
			expect(false, egress, database, tcp, 9090)
			for _, link := range metadata {
				for _, port := range []int32{53, 80, 443, 988, 3307, 5432, 8080} {
					expect(proxied && link.ip == "169.254.169.254" && (port == 80 || port == 988), egress, link, tcp, port)
				}
			}
			expect(proxied, egress, peer{ip: "10.1.2.3"}, tcp, 3307)
			expect(false, ingress, database, tcp, 9090)
			expect(false, ingress, peer{ip: "10.1.2.3"}, tcp, 9090)
			expect(monitored, ingress, scraper, tcp, 9090)
			expect(false, ingress, scraper, tcp, 9801)
		}
	}
}

// CIDRs within which nothing is left out that is not in them: the API server
// refuses others.
func TestNetwork_ExceptionsAreWithin(t *testing.T) {
	for _, policy := range render(t, overlay(components, settings)).networks {
		for _, rule := range policy.Spec.Egress {
			for _, to := range rule.To {
				if to.IPBlock == nil {
					continue
				}
				whole := netip.MustParsePrefix(to.IPBlock.CIDR)
				for _, e := range to.IPBlock.Except {
					if part := netip.MustParsePrefix(e); part.Masked() != part || whole.Bits() >= part.Bits() || !whole.Contains(part.Addr()) {
						t.Errorf("%s: %s is not within %s", policy.Name, part, whole)
					}
				}
			}
		}
	}
}
