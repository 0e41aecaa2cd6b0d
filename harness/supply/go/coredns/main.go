// Command coredns is CoreDNS with the plug-ins that kubeadm's Corefile names and no others: the full list
// brings in cloud SDKs that a test cluster never calls and that cost minutes to compile.
//
// Source of the list: CoreDNSConfigMap in k8s.io/kubernetes/cmd/kubeadm/app/phases/addons/dns/manifests.go, v1.34.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

// The order is that of CoreDNS's own plugin.cfg: it is the order in which plug-ins see a query.
func init() {
	dnsserver.Directives = []string{
		"reload", "errors", "log", "health", "ready", "prometheus", "loop",
		"cache", "loadbalance", "hosts", "kubernetes", "forward",
	}
}

func main() { coremain.Run() }
