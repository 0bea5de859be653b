/*
 * The SDK has no means for an operation.
 */
package interop.client;

final class Unsupported extends Failed {
    Unsupported(String why) {
        super(why);
    }
}
