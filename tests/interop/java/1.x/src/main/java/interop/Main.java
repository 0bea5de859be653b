/*
 * The interop peer of the Java SDK, line 1.x: `agent --dialect 1.0` and `client`.
 *
 * The newest 1.x in the registry is 1.0.0.Alpha3. It speaks a draft of 1.0: its gRPC service is a2a.v1.A2AService, not
 * lf.a2a.v1.A2AService, so it has no GRPC lane; and it has no mode for 0.3. Its reference server on Quarkus is not in
 * the registry, so the agent puts the SDK's own handlers behind the HTTP server of the JDK.
 */
package interop;

import interop.agent.Agent;
import interop.client.Targets;

public final class Main {
    public static void main(String[] words) throws Exception {
        switch (String.join(" ", words)) {
            case "agent --dialect 1.0" -> Agent.serve();
            case "client" -> Targets.run();
            default -> {
                System.err.println("usage: agent --dialect 1.0 | client");
                System.exit(2);
            }
        }
    }

    private Main() {
    }
}
