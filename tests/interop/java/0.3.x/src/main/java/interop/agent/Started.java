/*
 * Tells where the agent listens, as one JSON line on stdout, as soon as it does.
 */
package interop.agent;

import io.quarkus.vertx.http.HttpServerStart;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.event.ObservesAsync;

@ApplicationScoped
public class Started {
    void tell(@ObservesAsync HttpServerStart started) {
        System.out.println("{\"url\": \"" + Cards.url() + "\", \"grpc\": null}");
    }
}
