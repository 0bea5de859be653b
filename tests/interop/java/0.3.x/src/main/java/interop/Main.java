/*
 * The interop peer of the Java SDK, line 0.3.x: `agent --dialect 0.3` and `client`.
 *
 * The agent is the SDK's reference server on Quarkus with both of its HTTP bindings. Over HTTP+JSON this SDK speaks the
 * JSON of the 0.3 protobuf (`content`, `ROLE_USER`, `tasks/{id}` names), where it encodes the bytes of a file twice,
 * drops names and types of files, and cannot read a null in a data part.
 */
package interop;

import interop.client.Targets;
import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.annotations.QuarkusMain;

@QuarkusMain
public final class Main {
    public static void main(String... words) throws Exception {
        switch (String.join(" ", words)) {
            case "agent --dialect 0.3" -> Quarkus.run();
            case "client" -> Targets.run();
            default -> {
                System.err.println("usage: agent --dialect 0.3 | client");
                System.exit(2);
            }
        }
    }

    private Main() {
    }
}
