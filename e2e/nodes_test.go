package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// severalNodes gives the names of the nodes that take Pods of the installation. The
// scenarios here need at least two.
func severalNodes(t *testing.T) []string {
	t.Helper()
	list, err := cluster.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var names []string
	for _, node := range list.Items {
		if !node.Spec.Unschedulable && len(node.Spec.Taints) == 0 {
			names = append(names, node.Name)
		}
	}
	if len(names) < 2 {
		t.Skipf("needs two nodes that take pods, this cluster has %v", names)
	}
	return names
}

// nodesOf gives the nodes on which the Pods of a Deployment run.
func nodesOf(t *testing.T, deployment string) map[string]int {
	t.Helper()
	pods, err := cluster.Pods(t.Context(), deployment)
	require.NoError(t, err)
	nodes := map[string]int{}
	for _, pod := range pods {
		nodes[pod.Spec.NodeName]++
	}
	return nodes
}

// spread makes both replicas of both Deployments anew, with every node free.
func spread(t *testing.T) {
	t.Helper()
	for _, deployment := range []string{world.Webhook, world.Deployment} {
		scaleToZero(t, deployment)()
		require.Len(t, nodesOf(t, deployment), 2, "the replicas of %s are on one node", deployment)
	}
}

// TestReplicasOnDifferentNodes: both Deployments use two nodes where there are two.
func TestReplicasOnDifferentNodes(t *testing.T) {
	severalNodes(t)
	spread(t)
}

// TestDrainEveryNode drains one node after the other under load, as an upgrade of the
// nodes does: no request and no write is lost.
func TestDrainEveryNode(t *testing.T) {
	nodes := severalNodes(t)
	s := cluster.NewApp(t)
	s.Migrate(50)
	spread(t)
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(50)
	rollUnderLoad(t, s, func(t *testing.T) {
		t.Helper()
		for _, node := range nodes {
			drain(t, node)
		}
	})
}

// drain evicts the Pods of the installation alone: the actors have no controller that
// would make them again.
func drain(t *testing.T, node string) {
	t.Helper()
	uncordon := func(t world.T) { cluster.Kubectl(t, "uncordon", node) }
	t.Cleanup(func() { uncordon(cleanup{t}) })
	before := time.Now()
	cluster.Kubectl(t, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=170s",
		"--pod-selector=app.kubernetes.io/name=migration-proxy")
	world.EventuallyWithin(t, 2*world.Timeout, "two of each elsewhere", func(ctx context.Context) error {
		return errors.Join(cluster.Settled(ctx, world.Deployment, 2), cluster.Settled(ctx, world.Webhook, 2))
	})
	t.Logf("%s drained in %s", node, time.Since(before).Round(time.Second))
	uncordon(t)
}

// cutVariable names a program that cuts a node off from the network, called with "cut" or
// "join" and the name of the node.
const cutVariable = "MIGRATION_PROXY_E2E_CUT_NODE"

// TestNodeCutOff cuts off a node with one replica of each kind. Requests to its proxy are
// lost until the watcher notices; the node is NotReady only after 40 seconds.
func TestNodeCutOff(t *testing.T) {
	severalNodes(t)
	if os.Getenv(cutVariable) == "" {
		t.Skipf("%s names no program that cuts a node off", cutVariable)
	}
	s := cluster.NewApp(t)
	s.Migrate(50)
	spread(t)
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(50)
	node := nodeWithoutActors(t)
	leader, err := cluster.Leader(t.Context())
	require.NoError(t, err)
	stream := s.Stream()

	t.Cleanup(func() { cutOrJoin(cleanup{t}, "join", node) })
	cutOrJoin(t, "cut", node)
	began := time.Now()
	lost := 0
	for calm := 0; calm < 3; { // until three seconds without a failure, with answers
		before := stream.Watch()
		time.Sleep(time.Second) // the length of one sample of the load
		now := stream.Watch()
		if calm++; now.Failed > before.Failed || now.Sent == before.Sent {
			calm = 0
		}
		lost = now.Failed
		require.Less(t, time.Since(began), world.Timeout, "%d requests failed", lost)
	}
	took := time.Since(began) - 3*time.Second
	t.Logf("%s cut off, its pods: leader %s; %d of %d requests lost within %s; the node is ready: %t",
		node, leader, lost, stream.Watch().Sent, took.Round(time.Second), nodeReady(t, node))
	require.Less(t, lost, 100*40, "the requests of 40 s, until Kubernetes itself removes the pod")
	// The Service of the webhook has the address of the node until it is NotReady: a call
	// that is sent there ends in a time-out, and an edit of the config is refused then.
	world.Eventually(t, "an edit is accepted", func(ctx context.Context) error {
		return s.EditConfig(ctx, replacing("percentage: 50  # of "+s.Service, "percentage: 60  # of "+s.Service))
	})

	cutOrJoin(t, "join", node)
	world.EventuallyWithin(t, 2*world.Timeout, "all replicas again", func(ctx context.Context) error {
		return errors.Join(cluster.Settled(ctx, world.Deployment, 2), cluster.Settled(ctx, world.Webhook, 2))
	})
	s.WaitForSplit(60)
}

func cutOrJoin(t world.T, verb, node string) {
	t.Helper()
	command := exec.Command(os.Getenv(cutVariable), verb, node)
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v %s", verb, node, err, output)
		t.FailNow()
	}
}

func nodeReady(t *testing.T, name string) bool {
	t.Helper()
	node, err := cluster.Client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// nodeWithoutActors is a node with Pods of the installation, without clients and backends
// and without DNS, whose loss would be another story.
func nodeWithoutActors(t *testing.T) string {
	t.Helper()
	busy := map[string]bool{}
	for _, selector := range []string{world.ActorLabel, "k8s-app=kube-dns"} {
		pods, err := cluster.Client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{LabelSelector: selector})
		require.NoError(t, err)
		for _, pod := range pods.Items {
			busy[pod.Spec.NodeName] = true
		}
	}
	for node := range nodesOf(t, world.Deployment) {
		if !busy[node] {
			return node
		}
	}
	t.Skip("every node of the proxies has actors or DNS")
	return ""
}

// TestNetworkPolicies: what the values of networkPolicy claim to block is blocked, and
// everything else works.
func TestNetworkPolicies(t *testing.T) {
	nodes := nodeNetworks(t)
	s := cluster.NewApp(t)
	s.Migrate(50)
	t.Cleanup(func() { cluster.Install(cleanup{t}) })
	open := "networkPolicy.enabled=false"
	cluster.Install(t, open)
	ports := []int{8000, 8001, 8080} // nothing listens on 8002 without a service with gRPC
	for _, port := range ports {
		s.WaitForStranger(world.Deployment, port, true)
	}
	s.WaitForStranger(world.Webhook, 9443, true)
	if !s.EnforcesPolicies() {
		t.Skip("the network of this cluster enforces no NetworkPolicies")
	}

	values := append([]string{"networkPolicy.trafficFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=" + world.ActorNamespace},
		allowing("webhookFrom", nodes)...)
	cluster.Install(t, append(values, allowing("statusFrom", nodes)...)...)
	for _, port := range ports {
		s.WaitForStranger(world.Deployment, port, false)
	}
	s.WaitForStranger(world.Webhook, 9443, false)
	s.WaitForStranger(world.Webhook, 8080, false)
	s.ExpectSplit(50)
	require.Contains(t, s.Proxy(t, "status"), "2 of 2 replicas ready")
	s.Proxy(t, "update", s.Service, "100")
	s.ExpectSplit(100)

	// Without the API server's addresses the commands say which value it is. A policy does
	// not end connections, and the API server keeps those to the Pods.
	cluster.Install(t, append(values, "networkPolicy.statusFrom[0].ipBlock.cidr=192.0.2.0/24")...)
	restart(t, world.Deployment)
	world.Eventually(t, "status names the value", func(context.Context) error {
		return contains(s.Try(t, cluster.ProxyCommand("status")).Output, "networkPolicy.statusFrom")
	})
	s.ExpectSplit(100)
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("shop")), "the watcher's access needs no value")
}

// nodeNetworks are the addresses of all nodes, the API server's among them. One node is
// not enough: traffic of a node to its own pods passes every policy.
func nodeNetworks(t *testing.T) []string {
	t.Helper()
	severalNodes(t)
	list, err := cluster.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var networks []string
	for _, node := range list.Items {
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP && !strings.Contains(address.Address, ":") {
				networks = append(networks, address.Address+"/32")
			}
		}
	}
	return networks
}

func allowing(value string, networks []string) []string {
	var values []string
	for i, network := range networks {
		values = append(values, fmt.Sprintf("networkPolicy.%s[%d].ipBlock.cidr=%s", value, i, network))
	}
	return values
}

// TestAutoscaler: the autoscaler adds replicas under load where metrics-server is.
func TestAutoscaler(t *testing.T) {
	if _, err := cluster.Client.Discovery().ServerResourcesForGroupVersion("metrics.k8s.io/v1beta1"); err != nil {
		t.Skip("no metrics-server: ", err)
	}
	s := cluster.NewApp(t)
	s.Migrate(50)
	t.Cleanup(func() {
		cluster.Install(cleanup{t})
		cluster.Scale(cleanup{t}, world.Deployment, 2)
	})
	stream := s.Stream()
	cluster.Install(t, "proxy.autoscaling.enabled=true", "proxy.autoscaling.minReplicas=2", "proxy.autoscaling.maxReplicas=3",
		"proxy.autoscaling.targetCPUUtilizationPercentage=1")
	began := time.Now()
	world.EventuallyWithin(t, 2*world.Timeout, "a third replica", func(ctx context.Context) error {
		return cluster.Settled(ctx, world.Deployment, 3)
	})
	t.Logf("three replicas after %s", time.Since(began).Round(time.Second))
	stream.StopWithoutLoss()
}
