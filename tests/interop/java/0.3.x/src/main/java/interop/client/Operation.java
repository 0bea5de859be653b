/*
 * The operations by name, in the order in which they run.
 */
package interop.client;

import java.util.LinkedHashMap;
import java.util.Map;

interface Operation {
    /** Returns when the operation passed. */
    void run(Session session) throws Exception;

    Map<String, Operation> ALL = all();

    private static Map<String, Operation> all() {
        Map<String, Operation> all = new LinkedHashMap<>();
        all.put("Card", session -> {
            String name = session.card().name();
            Failed.unless(name.equals("interop"), "the card's name is " + name);
            session.client(false, false).close();
        });
        all.put("SendMessage/echo", Sending::echo);
        all.put("SendMessage/task", Sending::task);
        all.put("SendMessage/input", Sending::input);
        all.put("SendMessage/fail", Sending::fails);
        all.put("SendStreamingMessage", Streams::events);
        all.put("SendStreamingMessage/echo", Streams::echo);
        all.put("GetTask", Lifecycle::get);
        all.put("CancelTask", Lifecycle::cancel);
        all.put("SubscribeToTask", Streams::subscribe);
        all.put("PushNotificationConfig", Push::run);
        all.put("GetExtendedAgentCard", Lifecycle::extendedCard);
        all.put("Errors/TaskNotFound", Errors::notFound);
        all.put("Errors/NotCancelable", Errors::notCancelable);
        all.put("Headers", Calls::headers);
        all.put("Extensions", Calls::extensions);
        return all;
    }
}
