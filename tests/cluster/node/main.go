// What the tests of a real node add to the control plane, as one binary: `node kubelet --help`.
//
// A package of its own, and a binary of its own: most tests, the demo and the bench need no node and don't wait for it.
// It shares the control plane's module, so that both are of one version.
package main

import (
	"context"
	"fmt"
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // the client metrics of the servers themselves
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	program := ""
	if len(os.Args) > 1 {
		program = os.Args[1]
		// Each program reads its flags from os.Args, and its usage names it by os.Args[0].
		os.Args = os.Args[1:]
	}
	switch program {
	case "kubelet":
		os.Exit(cli.Run(kubelet.NewKubeletCommand(context.Background())))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	default:
		fmt.Fprintf(os.Stderr, "no program named %q in this binary; usage: node kubelet|kube-scheduler [flags]\n", program)
		os.Exit(2)
	}
}
