package io.cloudsignal

import io.cloudsignal.ffi.Blame
import io.cloudsignal.ffi.ClientException
import io.cloudsignal.ffi.Problem

/**
 * Why something did not come about.
 *
 * @property blame who is to blame: the caller, a limit, the end of the client, the broker, the network, or the store.
 * @property reason the broker's reason code, MQTT 5, where it has given one.
 */
public class CloudSignalException private constructor(
    public val blame: Blame,
    public val reason: UByte?,
    detail: String,
    cause: Throwable?,
) : Exception(detail, cause) {
    internal constructor(problem: Problem) : this(problem.blame, problem.reason, problem.detail, null)

    internal companion object {
        internal operator fun invoke(error: ClientException): CloudSignalException {
            val (blame, detail) = when (error) {
                is ClientException.Usage -> Blame.USAGE to error.detail
                is ClientException.Limit -> Blame.LIMIT to error.detail
                is ClientException.Closed -> Blame.CLOSED to error.detail
                is ClientException.Storage -> Blame.STORAGE to error.detail
            }
            return CloudSignalException(blame, null, detail, null)
        }

        internal fun usage(detail: String) = CloudSignalException(Blame.USAGE, null, detail, null)

        internal fun storage(detail: String, cause: Throwable) =
            CloudSignalException(Blame.STORAGE, null, detail, cause)

        internal fun closed(cause: Throwable) =
            CloudSignalException(Blame.CLOSED, null, "the client is closed", cause)
    }
}

/** To be thrown by a token provider when whoever issues tokens will not issue one, however often it is asked. */
public class TokenRefusedException(detail: String, cause: Throwable? = null) : Exception(detail, cause)
