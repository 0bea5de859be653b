/*
 * The operations on tasks that are there: get, cancel; and the extended card.
 */
package interop.client;

import io.a2a.client.Client;
import io.a2a.spec.AgentCard;
import io.a2a.spec.Message;
import io.a2a.spec.Task;
import io.a2a.spec.TaskIdParams;
import io.a2a.spec.TaskQueryParams;
import io.a2a.spec.TaskState;
import java.util.List;

final class Lifecycle {
    /** The task comes back whole, and with one message of history at most when asked so. */
    static void get(Session session) throws Exception {
        Task made = Sending.finished(session);
        Client client = session.client(false, false);
        Task task = client.getTask(new TaskQueryParams(made.getId()));
        Failed.unless(task.getId().equals(made.getId()), "another task: " + task.getId());
        Sending.inState(task, TaskState.COMPLETED);
        Sending.hasResult(task);
        List<Message> history = client.getTask(new TaskQueryParams(made.getId(), 1)).getHistory();
        Failed.unless(history == null || history.size() <= 1, "the history is " + history);
    }

    /** A working task becomes canceled. */
    static void cancel(Session session) throws Exception {
        Task task = session.begin(Session.message("wait"));
        Task ended = end(session, task.getId());
        Failed.unless(ended.getId().equals(task.getId()), "another task: " + ended.getId());
        Sending.inState(ended, TaskState.CANCELED);
    }

    /** Cancels a task. */
    static Task end(Session session, String task) throws Exception {
        Client client = session.client(false, false);
        return client.cancelTask(new TaskIdParams(task));
    }

    /** The extended card shows one more skill. */
    static void extendedCard(Session session) throws Exception {
        Client client = session.client(false, false);
        AgentCard card = client.getAgentCard();
        Failed.unless(card.name().equals("interop"), "the card's name is " + card.name());
        boolean more = card.skills().stream().anyMatch(skill -> skill.id().equals("extended"));
        Failed.unless(more, "the skill `extended` is not there");
    }

    private Lifecycle() {
    }
}
