// Command certificates issues and reads certificates as programs in Go do, for tests of the webhook's Secret.
//
//	certificates issue <host>              write the content of a Secret to the standard output, in JSON
//	certificates read <host> < <content>   fail unless a server in Go can serve with it, and a client trusts that
//
// The content is PEM by key: ca.crt, ca.key, tls.crt, tls.key, as the existing implementation stores it.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"
)

type content map[string]string

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: certificates issue|read <host>")
		os.Exit(2)
	}
	run := map[string]func(string) error{"issue": issue, "read": read}[os.Args[1]]
	if run == nil {
		run = func(string) error { return fmt.Errorf("there is no command %s", os.Args[1]) }
	}
	if err := run(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// issue makes an authority, and a certificate for host that it has signed.
func issue(host string) error {
	begin := time.Now().Add(-time.Hour)
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(0),
		Subject:               pkix.Name{CommonName: "lws-ca", Organization: []string{"lws"}},
		DNSNames:              []string{"lws-ca"},
		NotBefore:             begin,
		NotAfter:              begin.AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	serving := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: host},
		DNSNames:              []string{host},
		NotBefore:             begin,
		NotAfter:              begin.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	authorityKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	if authority, err = x509.ParseCertificate(authorityDER); err != nil {
		return err
	}
	servingKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	servingDER, err := x509.CreateCertificate(rand.Reader, serving, authority, servingKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(content{
		"ca.crt":  text("CERTIFICATE", authorityDER),
		"ca.key":  text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(authorityKey)),
		"tls.crt": text("CERTIFICATE", servingDER),
		"tls.key": text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(servingKey)),
	})
}

func text(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// read does with what is stored what the existing implementation does, up to 90 days from now.
func read(host string) error {
	var stored content
	if err := json.NewDecoder(os.Stdin).Decode(&stored); err != nil {
		return err
	}
	// A pair of PEM is how a server takes its certificate, and how the authority is judged.
	for _, name := range []string{"ca", "tls"} {
		if _, err := tls.X509KeyPair([]byte(stored[name+".crt"]), []byte(stored[name+".key"])); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	authority, err := certificate(stored["ca.crt"])
	if err != nil {
		return fmt.Errorf("ca.crt: %w", err)
	}
	// This key must be one to sign with, in the one form that is read.
	block, _ := pem.Decode([]byte(stored["ca.key"]))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("ca.key: %w", err)
	}
	if !key.PublicKey.Equal(authority.PublicKey) {
		return errors.New("ca.key is not that of ca.crt")
	}
	serving, err := certificate(stored["tls.crt"])
	if err != nil {
		return fmt.Errorf("tls.crt: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	for _, at := range []time.Time{time.Now(), time.Now().AddDate(0, 0, 90)} {
		for _, judged := range []*x509.Certificate{authority, serving} {
			options := x509.VerifyOptions{Roots: roots, CurrentTime: at}
			if judged == serving {
				options.DNSName = host
			}
			if _, err := judged.Verify(options); err != nil {
				return fmt.Errorf("%s at %s: %w", judged.Subject, at.Format(time.RFC3339), err)
			}
		}
	}
	return nil
}

func certificate(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(rest) != 0 {
		return nil, errors.New("it is not one certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
