package io.cloudsignal

import io.cloudsignal.ffi.ConnectionState
import io.cloudsignal.ffi.Ending
import io.cloudsignal.ffi.LossReason
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds

/** What a client is doing. */
public sealed interface State {
    /** Opening a connection, waiting for a token, or for the broker's word. */
    public data object Connecting : State

    /** The broker has accepted the client. */
    public data object Connected : State

    /**
     * The last attempt failed, or the connection was lost; another attempt follows.
     *
     * @property retryIn when, from the moment it was said.
     * @property why why there is no connection.
     * @property reason the broker's reason code, if it was the broker.
     */
    public data class Waiting(val retryIn: Duration, val why: LossReason, val reason: UByte?) : State

    /** Disconnected by [CloudSignal.background], until [CloudSignal.foreground]. */
    public data object Suspended : State

    /**
     * The client has ended, for ever.
     *
     * @property ending why.
     */
    public data class Closed(val ending: Ending) : State
}

internal fun ConnectionState.told(): State = when (this) {
    is ConnectionState.Connecting -> State.Connecting
    is ConnectionState.Connected -> State.Connected
    is ConnectionState.Waiting -> State.Waiting(retryInMs.toLong().milliseconds, why, reason)
    is ConnectionState.Suspended -> State.Suspended
}
