package cluster

import (
	"crypto"
	"crypto/x509"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/kubeconfig"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/pkiutil"
)

// serviceCIDRs are those of ClusterIPs, and kubernetesIP the API server's among them.
const (
	serviceCIDRs = "10.96.0.0/16,fd00:96::/112"
	kubernetesIP = "10.96.0.1"
)

// authority is the cluster's own, which all of it trusts.
type authority struct {
	folder string
	cert   *x509.Certificate
	key    crypto.Signer
}

func newAuthority(t *testing.T, folder string) *authority {
	t.Helper()
	cert, key, err := pkiutil.NewCertificateAuthority(certConfig("kubernetes"))
	require.NoError(t, err)
	require.NoError(t, pkiutil.WriteCertAndKey(folder, "ca", cert, key))
	accounts, err := pkiutil.NewPrivateKey(kubeadm.EncryptionAlgorithmECDSAP256)
	require.NoError(t, err)
	require.NoError(t, pkiutil.WriteKey(folder, "accounts", accounts))
	require.NoError(t, pkiutil.WritePublicKey(folder, "accounts", accounts.Public()))
	return &authority{folder, cert, key}
}

func certConfig(name string, groups ...string) *pkiutil.CertConfig {
	return &pkiutil.CertConfig{
		Config:              certutil.Config{CommonName: name, Organization: groups},
		NotAfter:            time.Now().Add(24 * time.Hour),
		EncryptionAlgorithm: kubeadm.EncryptionAlgorithmECDSAP256,
	}
}

// serve makes the certificate of a server.
func (a *authority) serve(t *testing.T, name string, at ...netip.Addr) {
	t.Helper()
	config := certConfig(name)
	config.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, address := range at {
		config.AltNames.IPs = append(config.AltNames.IPs, address.AsSlice())
	}
	cert, key, err := pkiutil.NewCertAndKey(a.cert, a.key, config)
	require.NoError(t, err)
	require.NoError(t, pkiutil.WriteCertAndKey(a.folder, name, cert, key))
}

// user writes the kubeconfig of a user of groups.
func (a *authority) user(t *testing.T, file, server, name string, groups ...string) {
	t.Helper()
	config := certConfig(name, groups...)
	config.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	cert, key, err := pkiutil.NewCertAndKey(a.cert, a.key, config)
	require.NoError(t, err)
	require.NoError(t, pkiutil.WriteCertAndKey(a.folder, filepath.Base(file), cert, key))
	root, err := certutil.EncodeCertificates(a.cert)
	require.NoError(t, err)
	private, err := keyutil.MarshalPrivateKeyToPEM(key)
	require.NoError(t, err)
	require.NoError(t, kubeconfig.WriteToDisk(file, kubeconfig.CreateWithCerts(server, "namespaces", name, root, private, pkiutil.EncodeCertPEM(cert))))
}

// startControlPlane starts etcd, the API server, the controllers and the scheduler in the client's namespace, and waits for the API.
func (c *cluster) startControlPlane(t *testing.T) {
	t.Helper()
	pki := func(name string) string { return filepath.Join(c.ca.folder, name) }
	at := c.apiAddress()
	c.ca.serve(t, "apiserver", at, netip.MustParseAddr(kubernetesIP), netip.MustParseAddr("127.0.0.1"))
	c.ca.user(t, c.admin, c.server(), "admin", "system:masters")
	c.start(t, client, "etcd", "--data-dir", t.TempDir(), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380")
	c.start(t, client, "kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379", "--advertise-address", at.String(), "--secure-port", "6443",
		"--authorization-mode", "Node,RBAC", "--allow-privileged", "--service-cluster-ip-range", serviceCIDRs,
		"--tls-cert-file", pki("apiserver.crt"), "--tls-private-key-file", pki("apiserver.key"), "--client-ca-file", pki("ca.crt"),
		"--kubelet-client-certificate", pki("admin.crt"), "--kubelet-client-key", pki("admin.key"), "--kubelet-preferred-address-types", "InternalIP",
		"--service-account-issuer", "https://kubernetes", "--service-account-key-file", pki("accounts.pub"), "--service-account-signing-key-file", pki("accounts.key"))
	c.api = c.connect(t)
	require.EventuallyWithT(t, func(e *assert.CollectT) {
		_, err := c.api.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
		assert.NoError(e, err)
	}, time.Minute, 100*time.Millisecond)
	c.start(t, client, "kube-controller-manager", "--kubeconfig", c.admin, "--use-service-account-credentials", "--leader-elect=false",
		"--service-account-private-key-file", pki("accounts.key"), "--root-ca-file", pki("ca.crt"))
	c.start(t, client, "kube-scheduler", "--kubeconfig", c.admin, "--leader-elect=false")
}
