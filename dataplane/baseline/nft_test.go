package baseline

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nft runs the nft binary in the host's namespace. Only tests do.
func (h *host) nft(input string, arguments ...string) string {
	h.t.Helper()
	var output []byte
	err := h.in(func() (err error) { // the child starts on this thread, and so in its namespace
		command := exec.Command("nft", arguments...)
		command.Stdin = strings.NewReader(input)
		output, err = command.CombinedOutput()
		return err
	})
	require.NoError(h.t, err, "nft %s: %s", strings.Join(arguments, " "), output)
	return string(output)
}

// What render prints, loaded by nft, and what Install makes are the same rules to the kernel: nft lists them alike.
func TestInstallIsWhatRenderSays(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs the nft binary, to compare with")
	}
	both := example(false)
	six := example(true).Tables
	offset := len(both.Tables.Backends)
	both.Tables.Backends = append(both.Tables.Backends, six.Backends...)
	for _, f := range six.Frontends {
		for i := range f.Backends {
			f.Backends[i] += offset
		}
		both.Tables.Frontends = append(both.Tables.Frontends, f)
	}
	worker := both
	worker.Node, worker.PodCIDRs = "worker", nil
	dnat := both
	dnat.Form = FormDNATOnly
	for name, config := range map[string]Config{"kube-proxy": both, "worker": worker, "dnat-only": dnat} {
		t.Run(name, func(t *testing.T) {
			byNFT, byUs := newHost(t, "nft"), newHost(t, "us") // without links: no packet is counted
			text, err := render(config)
			require.NoError(t, err)
			byNFT.nft(text, "-f", "-")
			require.NoError(t, Install(t.Context(), int(byUs.ns), config))
			want, got := byNFT.nft("", "list", "ruleset"), byUs.nft("", "list", "ruleset")
			assert.Equal(t, want, got)
			assert.Equal(t, 2, strings.Count(got, "\ntable ")+1)
		})
	}
}

// Whatever was installed before, the rules are those of the new configuration.
func TestInstallAfterAnother(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs the nft binary, to compare with")
	}
	full := demo(FormKubeProxy)
	patient, four := demo(FormKubeProxy), demo(FormKubeProxy)
	only4 := *four.Tables
	only4.Frontends = nil
	for _, f := range full.Tables.Frontends {
		if f.Address.Is4() {
			only4.Frontends = append(only4.Frontends, f)
		}
	}
	four.Tables = &only4
	for i := range patient.Tables.Frontends {
		if f := &patient.Tables.Frontends[i]; f.Affinity > 0 {
			f.Affinity *= 2
		}
	}
	configs := map[string]Config{
		"full": full, "elsewhere": elsewhere(full), "another timeout": patient, "IPv4 only": four, "dnat-only": demo(FormDNATOnly), "worker": example(false),
	}
	fresh := map[string][]string{}
	for name, config := range configs {
		host := newHost(t, "fresh")
		require.NoError(t, Install(t.Context(), int(host.ns), config))
		fresh[name] = host.ruleset()
	}
	for from, before := range configs {
		for to, after := range configs {
			t.Run(from+" to "+to, func(t *testing.T) {
				host := newHost(t, "replaced")
				require.NoError(t, Install(t.Context(), int(host.ns), before))
				require.NoError(t, Install(t.Context(), int(host.ns), after))
				assert.Equal(t, fresh[to], host.ruleset())
			})
		}
	}
}

// What someone else has changed is as it should be after the next installation.
func TestInstallRepairs(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs the nft binary, to change rules with")
	}
	host := newHost(t, "repaired")
	config := demo(FormKubeProxy)
	require.NoError(t, Install(t.Context(), int(host.ns), config))
	want := host.ruleset()
	for _, damage := range []string{
		"flush chain ip kube-proxy services", "add rule ip kube-proxy services drop", "insert rule ip kube-proxy services drop",
		"flush map ip kube-proxy service-ips", "flush ruleset",
	} {
		host.nft(damage, "-f", "-")
		require.NotEqual(t, want, host.ruleset(), damage)
		require.NoError(t, Install(t.Context(), int(host.ns), config))
		require.Equal(t, want, host.ruleset(), damage)
	}
}

// ruleset is what nft lists, chain by chain and set by set, in order: each with the table that it is in.
func (h *host) ruleset() (parts []string) {
	h.t.Helper()
	for _, table := range strings.SplitAfter(h.nft("", "list", "ruleset"), "\n}\n") {
		head, body, _ := strings.Cut(table, "\n")
		for _, part := range strings.SplitAfter(body, "\n\t}\n") {
			parts = append(parts, head+"\n"+strings.TrimSpace(part))
		}
	}
	slices.Sort(parts)
	return parts
}
