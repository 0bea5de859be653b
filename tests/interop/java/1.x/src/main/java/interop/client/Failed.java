/*
 * An operation did not do what it must.
 */
package interop.client;

class Failed extends RuntimeException {
    Failed(String why) {
        super(why);
    }

    /** Fails with `why` unless `holds`. */
    static void unless(boolean holds, String why) {
        if (!holds) {
            throw new Failed(why);
        }
    }
}
