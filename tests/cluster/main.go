// The control plane that the tests, the demo and the bench run against, as one binary: `control-plane etcd --help`.
//
// One binary because the three servers share most of their code: linking them together is the quickest to build
// and the smallest to cache. Everything here is an ordinary Go module dependency at the version go.mod names.
package main

import (
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // the client metrics of the servers themselves
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	server := ""
	if len(os.Args) > 1 {
		server = os.Args[1]
		// Each server reads its flags from os.Args, and its usage names the program by os.Args[0].
		os.Args = os.Args[1:]
	}
	switch server {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	default:
		fmt.Fprintf(os.Stderr, "no server named %q in this binary; usage: control-plane etcd|kube-apiserver|kube-controller-manager [flags]\n", server)
		os.Exit(2)
	}
}
