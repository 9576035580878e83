package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

const configWithRamp = "services:\n- {name: shop, old_host: shop.example.com, old_backend: 'a:80', new_host: b, new_backend: 'b:80', " +
	"migration: {enabled: true, percentage: 50, ramp: {hold: 30m, steps: [1, 5, 25]}}}\n"

// leader does what the leader of the watcher does for service shop, without replicas.
type leader struct {
	*site
	config ramp.Config
	state  ramp.State
}

func (l *leader) step(ctx context.Context) error {
	configMaps := l.client.CoreV1().ConfigMaps(l.namespace)
	found, err := configMaps.Get(ctx, names.RampMap, metav1.GetOptions{})
	if err != nil {
		return err
	}
	commands, err := status.ParseCommands(found.Data)
	if err != nil {
		return err
	}
	var sample ramp.Sample
	if c, ok := commands.Services["shop"]; ok {
		sample.Command = &ramp.Command{ID: c.ID, Verb: ramp.Verb(c.Verb), Position: migration.Share(c.Share*100 + 0.5), By: c.By, Reason: c.Reason}
	}
	after, _ := ramp.Step(l.config, l.state, sample, time.Now())
	machine, err := ramp.EncodeStates(map[string]ramp.State{"shop": after})
	if err != nil {
		return err
	}
	positions := fmt.Sprintf(`{"services": {"shop": {"share_percent": %g}}}`, after.Position.Percent())
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": found.ResourceVersion},
		"data":     map[string]string{status.MachineKey: machine, status.PositionsKey: positions},
	})
	if err != nil {
		return err
	}
	if _, err = configMaps.Patch(ctx, names.RampMap, types.MergePatchType, patch, metav1.PatchOptions{}); err == nil {
		l.state = after
	}
	return err
}

// run steps until ctx ends. A conflict with a command is tried again, as by the watcher.
func (l *leader) run(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	for ctx.Err() == nil {
		_ = l.step(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// runLeader starts a leader, which ends with the test.
func runLeader(t *testing.T, s *site) {
	t.Helper()
	table, err := config.Load("test", []byte(configWithRamp))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go (&leader{site: s, config: ramp.ConfigOf(table, table.Service("shop"))}).run(ctx, ended)
	t.Cleanup(func() { stop(); <-ended })
}

// TestRampCommands: a user's commands on a real API server.
func TestRampCommands(t *testing.T) {
	t.Parallel()
	s := testSite(t)
	require.NoError(t, s.write(t.Context(), configWithRamp))
	output, err := s.try("ramp", "shop", "hold")
	require.Error(t, err, output)
	require.Contains(t, output, "migration-ramp does not exist")
	_, err = s.client.CoreV1().ConfigMaps(s.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: names.RampMap}, Data: map[string]string{status.CommandsKey: `{"services":{"other":{"id":"1"}}}`},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	output, err = s.try("ramp", "shop")
	require.NoError(t, err, output)
	require.Contains(t, output, "starting")

	runLeader(t, s)
	output, err = s.try("wait", "shop", "--for", "step=1", "--timeout", "20s")
	require.NoError(t, err, output)
	output, err = s.try("explain", "--host", "shop.example.com", "-o", "json")
	require.NoError(t, err, output)
	require.Contains(t, output, `"share_percent": 1`, "the position, not the percentage")
	output, err = s.try("ramp", "shop", "hold", "--reason", "sale")
	require.NoError(t, err, output)
	require.Regexp(t, `hold by \S+: shop at 1% \(of 50%\), waiting: held: by \S+: sale`, output)
	output, err = s.try("ramp", "shop")
	require.NoError(t, err, output)
	require.Contains(t, output, "shop waits for you: migration-proxy ramp shop resume")
	output, err = s.try("ramp", "shop", "skip")
	require.NoError(t, err, output)
	require.Contains(t, output, "shop at 5% (of 50%)")
	output, err = s.try("wait", "shop", "--timeout", "3s")
	require.Error(t, err, output)
	require.Contains(t, output, "shop has not reached the end of its ramp within 3s; it is shop at 5% (of 50%), waiting: held")
	output, err = s.try("ramp", "shop", "skip")
	require.NoError(t, err, output)
	output, err = s.try("wait", "shop", "--for", "step=25", "--timeout", "20s")
	require.NoError(t, err, output)
	output, err = s.try("ramp", "shop", "skip")
	require.Error(t, err, output)
	require.Contains(t, output, "skip did nothing: there is no step above 25 %")

	found, err := s.client.CoreV1().ConfigMaps(s.namespace).Get(t.Context(), names.RampMap, metav1.GetOptions{})
	require.NoError(t, err)
	commands, err := status.ParseCommands(found.Data)
	require.NoError(t, err)
	require.Equal(t, "1", commands.Services["other"].ID, "a command for another service stays")
	require.NotEmpty(t, commands.Services["shop"].By)
}

// TestRampRights: the rights of docs/ramp.md are enough, and without them the message
// says how to get them.
func TestRampRights(t *testing.T) {
	t.Parallel()
	s := testSite(t)
	require.NoError(t, s.write(t.Context(), configWithRamp))
	_, err := s.client.CoreV1().ConfigMaps(s.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.RampMap}}, metav1.CreateOptions{})
	require.NoError(t, err)
	runLeader(t, s)
	output, err := s.try("wait", "shop", "--for", "step=1", "--timeout", "20s")
	require.NoError(t, err, output)

	kubeconfig, err := clientcmd.LoadFromFile(s.plane.Kubeconfig())
	require.NoError(t, err)
	for _, user := range kubeconfig.AuthInfos {
		user.Impersonate = "alice"
	}
	asAlice := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*kubeconfig, asAlice))
	s.grant(t, "alice", "get", names.ConfigMap, names.StateMap, names.RampMap)
	require.True(t, poll(t.Context(), patienceOfPolicies, func() bool { // the API server hears of a Role by and by
		output, err = s.try("ramp", "shop", "skip", "--kubeconfig", asAlice)
		return strings.Contains(output, "alice may not patch configmaps")
	}), output)
	require.Error(t, err)
	s.grant(t, "alice", "patch", names.RampMap)
	require.True(t, poll(t.Context(), patienceOfPolicies, func() bool {
		output, err = s.try("ramp", "shop", "skip", "--kubeconfig", asAlice)
		return err == nil
	}), output)
	require.Contains(t, output, "skip by alice: shop at 5%")
}

// grant allows a user one verb on some ConfigMaps.
func (s *site) grant(t *testing.T, user, verb string, configMaps ...string) {
	t.Helper()
	rbac := s.client.RbacV1()
	_, err := rbac.Roles(s.namespace).Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: verb},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: configMaps, Verbs: []string{verb}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = rbac.RoleBindings(s.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: verb},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: verb},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}
