// The peers of `a2a-go/v2`: `peer agent --dialect D` and `peer client`.
//
// The SDK's 0.3 compat packages have gRPC too, but 0.3 gRPC is no lane.
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
		log.Fatal("usage: peer agent|client [--dialect D]")
	}
	flags := flag.NewFlagSet("peer", flag.ExitOnError)
	dialect := flags.String("dialect", "1.0", "the dialect that the agent serves: 1.0 or 0.3")
	flags.Parse(os.Args[2:])
	var err error
	if os.Args[1] == "agent" {
		err = serve(*dialect)
	} else {
		err = shared.ServeTargets(os.Stdin, open)
	}
	if err != nil {
		log.Fatal(err)
	}
}
