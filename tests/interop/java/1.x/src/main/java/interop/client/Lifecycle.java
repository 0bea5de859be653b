/*
 * The operations on tasks that are there: get, list, cancel; and the extended card.
 */
package interop.client;

import io.a2a.client.Client;
import io.a2a.spec.AgentCard;
import io.a2a.spec.ListTasksParams;
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
        try (Client client = session.client(false, false)) {
            Task task = client.getTask(new TaskQueryParams(made.id()));
            Failed.unless(task.id().equals(made.id()), "another task: " + task.id());
            Sending.inState(task, TaskState.TASK_STATE_COMPLETED);
            Sending.hasResult(task);
            List<Message> history = client.getTask(new TaskQueryParams(made.id(), 1)).history();
            Failed.unless(history == null || history.size() <= 1, "the history is " + history);
        }
    }

    /** The task is in the list of its context. */
    static void list(Session session) throws Exception {
        Task made = Sending.finished(session);
        ListTasksParams wanted = ListTasksParams.builder().contextId(made.contextId()).tenant("").build();
        try (Client client = session.client(false, false)) {
            List<Task> tasks = client.listTasks(wanted).tasks();
            boolean found = tasks.stream().anyMatch(task -> task.id().equals(made.id()));
            Failed.unless(found, "not among the " + tasks.size() + " tasks listed");
        }
    }

    /** A working task becomes canceled. */
    static void cancel(Session session) throws Exception {
        Task task = session.begin(Session.message("wait"));
        Task ended = end(session, task.id());
        Failed.unless(ended.id().equals(task.id()), "another task: " + ended.id());
        Sending.inState(ended, TaskState.TASK_STATE_CANCELED);
    }

    /** Cancels a task. */
    static Task end(Session session, String task) throws Exception {
        try (Client client = session.client(false, false)) {
            return client.cancelTask(new TaskIdParams(task));
        }
    }

    /** The extended card shows one more skill. */
    static void extendedCard(Session session) throws Exception {
        try (Client client = session.client(false, false)) {
            AgentCard card = client.getExtendedAgentCard();
            Failed.unless(card.name().equals("interop"), "the card's name is " + card.name());
            boolean more = card.skills().stream().anyMatch(skill -> skill.id().equals("extended"));
            Failed.unless(more, "the skill `extended` is not there");
        }
    }

    private Lifecycle() {
    }
}
