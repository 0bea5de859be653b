// The peers of `a2a-go` 0.3: `peer agent` and `peer client`.
//
// The SDK has no HTTP+JSON; it has gRPC, but 0.3 gRPC is no lane.
package main

import (
	"flag"
	"log"
	"os"

	"interop/shared"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: peer agent|client [--dialect 0.3]")
	}
	flags := flag.NewFlagSet("peer", flag.ExitOnError)
	flags.String("dialect", "0.3", "the dialect that the agent serves: it knows but this one")
	flags.Parse(os.Args[2:])
	var err error
	if os.Args[1] == "agent" {
		err = serve()
	} else {
		err = shared.ServeTargets(os.Stdin, open)
	}
	if err != nil {
		log.Fatal(err)
	}
}
