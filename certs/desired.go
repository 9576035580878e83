package certs

import (
	"fmt"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// The names of the objects.
const (
	Certificate = names.Webhook          // of the webhook; cert-manager's injector takes the CA from it
	Secret      = names.Webhook + "-tls" // with tls.crt, tls.key and ca.crt
	authority   = names.Webhook + "-ca"  // Certificate, Issuer and Secret of the CA
	selfSigned  = names.Webhook + "-self-signed"
)

// The lifetimes of certificates. A certificate is renewed when a third of its
// lifetime is left, so cert-manager may be away for a month. The CA lives much
// longer: when it changes, the injected CA and the served certificate do not match
// for a moment.
const (
	lifetime      = 90 * 24 * time.Hour
	renewBefore   = 30 * 24 * time.Hour
	caLifetime    = 10 * 365 * 24 * time.Hour
	caRenewBefore = 365 * 24 * time.Hour
)

// Desired gives the objects for cert-manager, in the order of creation: a
// self-signed issuer, the CA that it issues, an issuer with this CA, and the
// certificate of Service migration-proxy-webhook in the namespace.
func Desired(namespace string) []client.Object {
	return []client.Object{
		issuer(namespace, selfSigned, certmanagerv1.IssuerConfig{SelfSigned: &certmanagerv1.SelfSignedIssuer{}}),
		certificate(namespace, authority, certmanagerv1.CertificateSpec{
			IsCA:        true,
			CommonName:  authority,
			SecretName:  authority,
			Duration:    &metav1.Duration{Duration: caLifetime},
			RenewBefore: &metav1.Duration{Duration: caRenewBefore},
			PrivateKey:  privateKey(certmanagerv1.RotationPolicyNever),
			IssuerRef:   issuedBy(selfSigned),
		}),
		issuer(namespace, authority, certmanagerv1.IssuerConfig{CA: &certmanagerv1.CAIssuer{SecretName: authority}}),
		certificate(namespace, Certificate, certmanagerv1.CertificateSpec{
			SecretName:  Secret,
			DNSNames:    DNSNames(namespace),
			Duration:    &metav1.Duration{Duration: lifetime},
			RenewBefore: &metav1.Duration{Duration: renewBefore},
			PrivateKey:  privateKey(certmanagerv1.RotationPolicyAlways),
			Usages:      []certmanagerv1.KeyUsage{certmanagerv1.UsageDigitalSignature, certmanagerv1.UsageServerAuth},
			IssuerRef:   issuedBy(authority),
		}),
	}
}

// DNSNames are the names that the certificate must have. The API server verifies
// the first one.
func DNSNames(namespace string) []string {
	name := fmt.Sprintf("%s.%s.svc", names.Webhook, namespace)
	return []string{name, name + ".cluster.local"}
}

func issuer(namespace, name string, config certmanagerv1.IssuerConfig) *certmanagerv1.Issuer {
	return &certmanagerv1.Issuer{
		TypeMeta: typeMeta(certmanagerv1.IssuerKind), ObjectMeta: objectMeta(namespace, name),
		Spec: certmanagerv1.IssuerSpec{IssuerConfig: config},
	}
}

func certificate(namespace, name string, spec certmanagerv1.CertificateSpec) *certmanagerv1.Certificate {
	return &certmanagerv1.Certificate{
		TypeMeta: typeMeta(certmanagerv1.CertificateKind), ObjectMeta: objectMeta(namespace, name), Spec: spec,
	}
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: certmanagerv1.SchemeGroupVersion.String(), Kind: kind}
}

func objectMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, Labels: map[string]string{names.ManagedByLabel: names.Manager},
	}
}

func privateKey(rotation certmanagerv1.PrivateKeyRotationPolicy) *certmanagerv1.CertificatePrivateKey {
	return &certmanagerv1.CertificatePrivateKey{
		Algorithm: certmanagerv1.ECDSAKeyAlgorithm, Size: 256, RotationPolicy: rotation,
	}
}

func issuedBy(issuer string) certmanagermetav1.IssuerReference {
	return certmanagermetav1.IssuerReference{Group: certmanagerv1.SchemeGroupVersion.Group, Kind: certmanagerv1.IssuerKind, Name: issuer}
}
