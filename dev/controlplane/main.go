// Command controlplane is etcd and kube-apiserver in one binary, for demos and tests.
//
// It lives no longer than whoever holds its standard input open: the kernel closes that pipe however the
// parent ends, kill -9 included. PR_SET_PDEATHSIG would be Linux only, and bound to the parent's thread.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of the API server's own client
	_ "k8s.io/component-base/metrics/prometheus/version"  // metric kubernetes_build_info
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

const usage = `usage: controlplane etcd [flags]
       controlplane kube-apiserver [flags]
       controlplane keygen FILE    write a new service account key to FILE`

func main() {
	if len(os.Args) < 2 {
		fail(usage)
	}
	program := os.Args[1]
	// Each program below finds its own flags right after its name.
	os.Args = os.Args[1:]
	switch program {
	case "etcd":
		go exitWithParent()
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		go exitWithParent()
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "keygen":
		if len(os.Args) != 2 {
			fail(usage)
		}
		if err := keygen(os.Args[1]); err != nil {
			fail(fmt.Sprintf("keygen: %v", err))
		}
	default:
		fail(fmt.Sprintf("unknown program %q\n%s", program, usage))
	}
}

func exitWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	fail("standard input was closed: the parent is gone")
}

func keygen(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
