/*
 * Serves the agent: the SDK's beans in a container, behind the HTTP server of the JDK on a free port of the loopback.
 */
package interop.agent;

import com.google.gson.Gson;
import com.sun.net.httpserver.HttpServer;
import io.a2a.server.AgentCardValidator;
import io.a2a.transport.jsonrpc.handler.JSONRPCHandler;
import io.a2a.transport.rest.handler.RestHandler;
import java.net.InetSocketAddress;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import org.jboss.weld.environment.se.Weld;
import org.jboss.weld.environment.se.WeldContainer;

public final class Agent {
    /** Serves until the process is ended; prints where it listens as one JSON line. */
    public static void serve() throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        String url = "http://127.0.0.1:" + server.getAddress().getPort();
        System.setProperty(Cards.URL, url);
        // The reference server would announce its transports to the SDK; this server stands in its place.
        System.setProperty(AgentCardValidator.SKIP_PROPERTY, "true");
        WeldContainer beans = new Weld().addBeanClasses(Cards.class, Executor.class).initialize();

        JsonRpc rpc = new JsonRpc(beans.select(JSONRPCHandler.class).get());
        Rest rest = new Rest(beans.select(RestHandler.class).get());
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> {
            try (exchange) {
                Call call = new Call(exchange);
                if (call.method().equals("POST") && call.path().equals("/")) {
                    rpc.answer(call);
                } else {
                    rest.answer(call);
                }
            } catch (RuntimeException error) {
                // Else the server would drop the error and the caller would see a closed connection.
                error.printStackTrace();
                throw error;
            }
        });
        server.start();

        Map<String, Object> where = new LinkedHashMap<>();
        where.put("url", url);
        where.put("grpc", null);
        System.out.println(new Gson().newBuilder().serializeNulls().create().toJson(where));
    }

    private Agent() {
    }
}
