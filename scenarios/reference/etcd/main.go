// Command etcd is the stock etcd server. Its own module publishes only the library, so the few
// lines of its main package live here.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
