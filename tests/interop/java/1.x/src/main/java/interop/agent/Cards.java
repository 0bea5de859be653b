/*
 * The card of the agent, and the one with one more skill that only GetExtendedAgentCard shows.
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

@ApplicationScoped
public class Cards {
    /** Where the agent listens: beans are made by the container, so they are told by a property. */
    static final String URL = "interop.url";

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
        String url = System.getProperty(URL);
        return AgentCard.builder()
                .name("interop")
                .description("Answers by the first word of the message")
                .version("1.0.0")
                .supportedInterfaces(List.of(
                        new AgentInterface(TransportProtocol.JSONRPC.asString(), url),
                        new AgentInterface(TransportProtocol.HTTP_JSON.asString(), url)))
                .capabilities(AgentCapabilities.builder()
                        .streaming(true)
                        .pushNotifications(true)
                        .extendedAgentCard(true)
                        .extensions(List.of(extension()))
                        .build())
                .defaultInputModes(List.of("text/plain"))
                .defaultOutputModes(List.of("text/plain"))
                .skills(skills)
                .build();
    }

    private static AgentExtension extension() {
        // The SDK cannot write an extension without a description over JSON-RPC.
        return AgentExtension.builder()
                .uri(Words.EXTENSION)
                .description("shows that it was asked for")
                .required(false)
                .build();
    }

    private static AgentSkill skill(String id) {
        return AgentSkill.builder()
                .id(id)
                .name(id)
                .description("the skill " + id)
                .tags(List.of("interop"))
                .build();
    }
}
