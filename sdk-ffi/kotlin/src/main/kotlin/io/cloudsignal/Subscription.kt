package io.cloudsignal

import io.cloudsignal.ffi.Event
import io.cloudsignal.ffi.Message
import io.cloudsignal.ffi.NativeClient
import io.cloudsignal.ffi.Problem
import io.cloudsignal.ffi.QosLevel
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/** A subscription that the broker has granted. */
public class Subscription internal constructor(
    private val native: NativeClient,
    internal val number: ULong,
    aheadMessages: Int,
) {
    /** No more than this is handed over before the first of it is done with, so there is always room. */
    private val inbox = Channel<Message>(aheadMessages)
    private val granted = CompletableDeferred<QosLevel>()
    private val ended = CompletableDeferred<Unit>()

    /**
     * The messages, for one collector, whose end is the end of the subscription; see [CloudSignal.messages]. Throws what the
     * broker or the client has ended it with.
     */
    public val messages: Flow<Message> = flow {
        try {
            for (message in inbox) {
                emit(message)
                ifOpen { native.done(listOf(message.id)) }
            }
        } finally {
            leave()
        }
    }

    /** The highest QoS of its messages, as the broker has granted it. */
    public suspend fun awaitGranted(): QosLevel = granted.await()

    /** Ends it, and awaits that the broker has heard. */
    public suspend fun unsubscribe() {
        leave()
        ended.await()
    }

    internal fun leave(): Unit = ifOpen { native.unsubscribe(number) }

    internal fun arrived(message: Message) {
        check(inbox.trySend(message).isSuccess || ended.isCompleted) { "more messages than were asked for" }
    }

    internal fun granted(event: Event.SubscriptionGranted) {
        granted.complete(event.qos)
    }

    internal fun ended(problem: Problem?) {
        val error = problem?.let { CloudSignalException(it) }
        ended.complete(Unit)
        inbox.close(error)
        granted.completeExceptionally(error ?: CloudSignalException.usage("it was ended before the broker granted it"))
    }

    /** For what makes no difference to a client that is gone. */
    private inline fun ifOpen(call: () -> Unit) {
        try {
            call()
        } catch (_: IllegalStateException) {
            return
        }
    }
}
