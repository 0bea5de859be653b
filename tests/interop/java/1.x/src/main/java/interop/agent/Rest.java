/*
 * The HTTP+JSON binding and the card: finds the method of the SDK's handler by method and path.
 */
package interop.agent;

import io.a2a.server.ServerCallContext;
import io.a2a.server.util.sse.SseFormatter;
import io.a2a.spec.MethodNotFoundError;
import io.a2a.transport.rest.handler.RestHandler;
import io.a2a.transport.rest.handler.RestHandler.HTTPRestResponse;
import io.a2a.transport.rest.handler.RestHandler.HTTPRestStreamingResponse;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

final class Rest {
    /** The agent serves one tenant, the nameless one. */
    private static final String TENANT = "";
    private static final Pattern TASK = Pattern.compile("/tasks/([^/:]+)(:cancel|:subscribe)?");
    private static final Pattern CONFIGS = Pattern.compile("/tasks/([^/]+)/pushNotificationConfigs(?:/([^/]+))?");

    private final RestHandler handler;

    Rest(RestHandler handler) {
        this.handler = handler;
    }

    void answer(Call call) throws IOException {
        HTTPRestResponse response = route(call);
        if (response instanceof HTTPRestStreamingResponse streaming) {
            AtomicLong number = new AtomicLong();
            call.stream(
                    streaming.getPublisher(), event -> SseFormatter.formatJsonAsSSE(event, number.getAndIncrement()));
        } else {
            call.answer(response.getStatusCode(), response.getContentType(), response.getBody());
        }
    }

    private HTTPRestResponse route(Call call) {
        Matcher task = TASK.matcher(call.path());
        Matcher configs = CONFIGS.matcher(call.path());
        return switch (call.method() + " " + call.path()) {
            case "GET /.well-known/agent-card.json" -> handler.getAgentCard();
            case "GET /extendedAgentCard" -> handler.getExtendedAgentCard(call.context(), TENANT);
            case "POST /message:send" -> handler.sendMessage(call.context(), TENANT, call.body());
            case "POST /message:stream" -> handler.sendStreamingMessage(call.context(), TENANT, call.body());
            case "GET /tasks" -> listTasks(call);
            default -> {
                if (task.matches()) {
                    yield ofTask(call, task.group(1), task.group(2));
                }
                if (configs.matches()) {
                    yield ofConfigs(call, configs.group(1), configs.group(2));
                }
                yield handler.createErrorResponse(new MethodNotFoundError());
            }
        };
    }

    private HTTPRestResponse listTasks(Call call) {
        String artifacts = call.query("includeArtifacts");
        return handler.listTasks(
                call.context(),
                TENANT,
                call.query("contextId"),
                call.query("status"),
                number(call.query("pageSize")),
                call.query("pageToken"),
                number(call.query("historyLength")),
                call.query("statusTimestampAfter"),
                artifacts == null ? null : Boolean.valueOf(artifacts));
    }

    private HTTPRestResponse ofTask(Call call, String task, String action) {
        if (action == null) {
            return handler.getTask(call.context(), TENANT, task, number(call.query("historyLength")));
        }
        return action.equals(":cancel")
                ? handler.cancelTask(call.context(), TENANT, task)
                : handler.subscribeToTask(call.context(), TENANT, task);
    }

    private HTTPRestResponse ofConfigs(Call call, String task, String config) {
        ServerCallContext context = call.context();
        return switch (call.method()) {
            case "POST" -> handler.createTaskPushNotificationConfiguration(context, TENANT, call.body(), task);
            case "DELETE" -> handler.deleteTaskPushNotificationConfiguration(context, TENANT, task, config);
            default -> config == null
                    ? handler.listTaskPushNotificationConfigurations(context, TENANT, task, 0, "")
                    : handler.getTaskPushNotificationConfiguration(context, TENANT, task, config);
        };
    }

    private static Integer number(String word) {
        return word == null ? null : Integer.valueOf(word.trim());
    }
}
