/*
 * The card of the agent, and the one with one more skill that only agent/getAuthenticatedExtendedCard shows.
 */
package interop.agent;

import interop.Words;
import io.a2a.server.ExtendedAgentCard;
import io.a2a.server.PublicAgentCard;
import io.a2a.spec.AgentCapabilities;
import io.a2a.spec.AgentCard;
import io.a2a.spec.AgentExtension;
import io.a2a.spec.AgentInterface;
import io.a2a.spec.AgentSkill;
import io.a2a.spec.TransportProtocol;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.inject.Produces;
import java.util.List;
import org.eclipse.microprofile.config.ConfigProvider;

@ApplicationScoped
public class Cards {
    /** Where the agent listens; Quarkus puts the port that it got in place of the 0 that was asked for. */
    static String url() {
        return "http://127.0.0.1:" + ConfigProvider.getConfig().getValue("quarkus.http.port", Integer.class);
    }

    @Produces
    @PublicAgentCard
    AgentCard shown() {
        return card(List.of(skill("echo")));
    }

    @Produces
    @ExtendedAgentCard
    AgentCard extended() {
        return card(List.of(skill("echo"), skill("extended")));
    }

    private static AgentCard card(List<AgentSkill> skills) {
        String jsonRpc = TransportProtocol.JSONRPC.asString();
        return new AgentCard.Builder()
                .name("interop")
                .description("Answers by the first word of the message")
                .version("1.0.0")
                .protocolVersion("0.3.0")
                .url(url())
                .preferredTransport(jsonRpc)
                .additionalInterfaces(List.of(
                        new AgentInterface(jsonRpc, url()),
                        new AgentInterface(TransportProtocol.HTTP_JSON.asString(), url())))
                .capabilities(new AgentCapabilities.Builder()
                        .streaming(true)
                        .pushNotifications(true)
                        .extensions(List.of(new AgentExtension.Builder()
                                .uri(Words.EXTENSION)
                                .description("shows that it was asked for")
                                .required(false)
                                .build()))
                        .build())
                .supportsAuthenticatedExtendedCard(true)
                .defaultInputModes(List.of("text/plain"))
                .defaultOutputModes(List.of("text/plain"))
                .skills(skills)
                .build();
    }

    private static AgentSkill skill(String id) {
        return new AgentSkill.Builder()
                .id(id)
                .name(id)
                .description("the skill " + id)
                .tags(List.of("interop"))
                .build();
    }
}
