/*
 * Errors keep their meaning: the SDK reports each by its own class.
 */
package interop.client;

import io.a2a.client.Client;
import io.a2a.spec.TaskNotCancelableError;
import io.a2a.spec.TaskNotFoundError;
import io.a2a.spec.TaskQueryParams;

final class Errors {
    /** A task that never was. */
    static void notFound(Session session) throws Exception {
        try (Client client = session.client(false, false)) {
            expect(
                    TaskNotFoundError.class,
                    () -> client.getTask(new TaskQueryParams("00000000-0000-4000-8000-000000000000")));
        }
    }

    /** A task that is over. */
    static void notCancelable(Session session) throws Exception {
        String task = Sending.finished(session).id();
        expect(TaskNotCancelableError.class, () -> Lifecycle.end(session, task));
    }

    private interface Attempt {
        void run() throws Exception;
    }

    private static void expect(Class<? extends Throwable> wanted, Attempt attempt) throws Exception {
        try {
            attempt.run();
        } catch (Exception error) {
            for (Throwable link = error; link != null; link = link.getCause()) {
                if (wanted.isInstance(link)) {
                    return;
                }
            }
            throw error;
        }
        throw new Failed("no error came");
    }

    private Errors() {
    }
}
