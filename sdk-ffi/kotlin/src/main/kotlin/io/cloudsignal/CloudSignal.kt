package io.cloudsignal

import io.cloudsignal.ffi.Blame
import io.cloudsignal.ffi.ClientException
import io.cloudsignal.ffi.ClientOptions
import io.cloudsignal.ffi.Ending
import io.cloudsignal.ffi.Event
import io.cloudsignal.ffi.Login
import io.cloudsignal.ffi.Message
import io.cloudsignal.ffi.NativeClient
import io.cloudsignal.ffi.Publication
import io.cloudsignal.ffi.PublishOutcome
import io.cloudsignal.ffi.QosLevel
import io.cloudsignal.ffi.RecordStore
import io.cloudsignal.ffi.SubscribeOptions
import io.cloudsignal.ffi.Token
import io.cloudsignal.ffi.TokenReason
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.SharedFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.withContext

/**
 * A client of an MQTT broker. It keeps its connection until [close]: it comes back after every loss, with its session and
 * its subscriptions, and what is published meanwhile waits.
 *
 * Everything may be called from every thread, and nothing blocks one. What goes wrong is a [CloudSignalException], which
 * says who is to blame.
 */
public class CloudSignal private constructor(
    private val native: NativeClient,
    private val hearing: Hearing,
    private val scope: CoroutineScope,
) {
    /** What the client is doing. */
    public val state: StateFlow<State> get() = hearing.state

    /**
     * What else happens, for logs: sessions that begin and go on, attempts that fail, warnings, messages at QoS 0 that were
     * dropped. Who is slow misses the oldest beyond [EVENTS_MAX].
     */
    public val events: SharedFlow<Event> get() = hearing.events

    /** The client identifier. */
    public val clientId: String = native.clientId()

    /** Awaits that the broker has accepted the client. Throws when the client is closed instead. */
    public suspend fun awaitConnected() {
        when (val now = state.first { it is State.Connected || it is State.Closed }) {
            is State.Closed -> throw CloudSignalException(now.ending.problem)
            else -> Unit
        }
    }

    /**
     * Publishes a message, now or as soon as there is a connection, and awaits what becomes of it. While the queue is full it
     * waits for room. Messages of one coroutine leave in their order.
     *
     * Cancelling gives up waiting only: the message goes its way.
     */
    public suspend fun publish(publication: Publication): PublishOutcome {
        val answer = queue(publication)
        val event = hearing.await(answer) as Event.PublishEnded
        val outcome = event.outcome
        if (outcome is PublishOutcome.Failed) throw CloudSignalException(outcome.problem)
        return outcome
    }

    /** The same for a topic and a payload. A retained message is kept by the broker for later subscribers. */
    public suspend fun publish(
        topic: String,
        payload: ByteArray,
        qos: QosLevel = QosLevel.AT_LEAST_ONCE,
        retain: Boolean = false,
    ): PublishOutcome = publish(Publication(topic, payload, qos, retain))

    /** The same for text. */
    public suspend fun publish(
        topic: String,
        payload: String,
        qos: QosLevel = QosLevel.AT_LEAST_ONCE,
        retain: Boolean = false,
    ): PublishOutcome = publish(topic, payload.encodeToByteArray(), qos, retain)

    /** Puts a message into the queue, and awaits room for it. */
    private suspend fun queue(publication: Publication): Answer {
        while (true) {
            try {
                val answer = expect { native.publish(publication) }
                // Whoever waits for room beside this one may have missed the word of it.
                hearing.room.trySend(Unit)
                return answer
            } catch (full: CloudSignalException) {
                if (full.blame != Blame.LIMIT) throw full
            }
            hearing.room.receiveCatching()
        }
    }

    /**
     * The messages that match a filter, in which `+` stands for one level and `#` for all that follow. Each collector has a
     * subscription of its own, which begins with it and ends with it: cancelling the collector unsubscribes at the broker.
     *
     * A message counts as received when the collector comes back from it, so a collector that is slow slows the broker, and
     * loses nothing at QoS 1 and 2. At most [AHEAD_MESSAGES_DEFAULT] wait here.
     */
    public fun messages(filter: String, qos: QosLevel = QosLevel.AT_LEAST_ONCE): Flow<Message> =
        messages(SubscribeOptions(filter, qos))

    /** The same with every option. */
    public fun messages(options: SubscribeOptions): Flow<Message> = flow { emitAll(begin(options).messages) }

    /** Subscribes, and awaits that the broker has granted it. */
    public suspend fun subscribe(options: SubscribeOptions): Subscription {
        val subscription = begin(options)
        try {
            subscription.awaitGranted()
        } catch (cancelled: CancellationException) {
            subscription.leave()
            throw cancelled
        }
        return subscription
    }

    /** The same for a filter. */
    public suspend fun subscribe(filter: String, qos: QosLevel = QosLevel.AT_LEAST_ONCE): Subscription =
        subscribe(SubscribeOptions(filter, qos))

    private fun begin(options: SubscribeOptions): Subscription =
        hearing.listen { speak { Subscription(native, native.subscribe(options), options.aheadMessages()) } }

    /**
     * Asks whoever listens to the topic, and awaits the answer. Where nobody listens it fails at once. MQTT 5 only. Cancelling
     * gives the question up.
     */
    public suspend fun ask(publication: Publication, patience: Duration = 30.seconds): Message {
        val answer = expect { native.ask(publication, patience.inWholeMilliseconds.toULong()) }
        try {
            when (val event = hearing.await(answer)) {
                is Event.QuestionAnswered -> return event.message
                is Event.QuestionFailed -> throw CloudSignalException(event.problem)
                else -> error("a question ends with an answer or without one")
            }
        } catch (cancelled: CancellationException) {
            ifOpen { native.giveUpQuestion(answer.number) }
            throw cancelled
        }
    }

    /** Answers a message that was asked with [ask]. Fails when it wants no answer. */
    public suspend fun answer(question: Message, payload: ByteArray): PublishOutcome {
        val topic = question.responseTopic ?: throw CloudSignalException.usage("nobody waits for an answer")
        return publish(Publication(topic, payload, question.qos, correlationData = question.correlationData))
    }

    /** Awaits that everything published before is over. */
    public suspend fun flush() {
        hearing.await(expect { native.flush() })
    }

    /**
     * Lets go of a message that a warning has called stuck, so that what waits behind it goes on: it is indeterminate then.
     * One that is on its way just now stays, and so does one of QoS 2: `false`.
     */
    public suspend fun giveUp(message: ULong): Boolean =
        (hearing.await(expect { native.giveUpMessage(message) }) as Event.GiveUpEnded).isGivenUp

    /**
     * Disconnects until [foreground]; session, subscriptions and queue stay. For an application that goes to the background,
     * whose network the system takes away anyway.
     */
    public fun background(): Unit = speak { native.suspend() }

    /** Connects again after [background], or at once while it waits for the next attempt. */
    public fun foreground(): Unit = speak { native.resume() }

    /** The device woke up, or is on another network: what looked like a connection may be dead. */
    public fun wake(): Unit = speak { native.wake() }

    /**
     * Connected while `isForeground` says so, and suspended otherwise, until it is cancelled or the client is closed. On
     * Android, in the application's scope:
     * ```
     * client.follow(ProcessLifecycleOwner.get().lifecycle.currentStateFlow.map { it.isAtLeast(Lifecycle.State.STARTED) })
     * ```
     */
    public suspend fun follow(isForeground: Flow<Boolean>) {
        isForeground.distinctUntilChanged().collect { if (it) foreground() else background() }
    }

    /**
     * Says goodbye and awaits that everything has ended: the connection, the store, the thread. The broker keeps the session.
     * What still waits to be sent stays in the store, or is lost if there is none: [flush] before. It cannot be cancelled,
     * lasts no longer than the goodbye, and may be called again.
     */
    public suspend fun close(): Ending = end { native.finish() }

    /** The same, and broker and store forget everything. */
    public suspend fun closeAndForget(): Ending = end { native.finishAndForget() }

    private suspend fun end(goodbye: () -> Unit): Ending = withContext(NonCancellable) {
        ifOpen(goodbye)
        val ending = hearing.closed.await()
        withContext(Dispatchers.IO) { ifOpen { native.join() } }
        native.close()
        scope.cancel()
        ending
    }

    /** Runs the block, and closes the client whatever comes of it. */
    public suspend inline fun <R> use(block: (CloudSignal) -> R): R {
        try {
            return block(this)
        } finally {
            close()
        }
    }

    private inline fun expect(call: () -> ULong): Answer = hearing.expect { speak(call) }

    private inline fun <R> speak(call: () -> R): R {
        try {
            return call()
        } catch (error: ClientException) {
            throw CloudSignalException(error)
        } catch (gone: IllegalStateException) {
            throw CloudSignalException.closed(gone)
        }
    }

    /** For what makes no difference to a client that is gone. */
    private inline fun ifOpen(call: () -> Unit) {
        try {
            call()
        } catch (_: IllegalStateException) {
            return
        }
    }

    public companion object {
        /** How many events wait for whoever collects [events]. */
        public const val EVENTS_MAX: Int = 256

        /** How many messages wait for a collector, unless its subscription says otherwise. */
        public const val AHEAD_MESSAGES_DEFAULT: Int = 256

        /**
         * Makes a client, which begins to connect; [awaitConnected] awaits that it is. It reads certificates and the store,
         * away from the calling thread.
         *
         * @param tokens makes a token whenever one is needed: at first, before one ends, and after the broker has refused one.
         *   What it throws counts as a failure that passes, and it is asked again later; [TokenRefusedException] closes the
         *   client.
         * @param store keeps identity, queue and subscriptions; it counts for more than `storeFolder`.
         */
        public suspend fun open(
            options: ClientOptions,
            store: RecordStore? = null,
            tokens: (suspend (TokenReason) -> Token)? = null,
        ): CloudSignal = withContext(Dispatchers.IO) {
            val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
            val hearing = Hearing(scope, tokens)
            val complete = options.copy(
                login = if (tokens == null) options.login else Login.Tokens,
                systemRootsDer = options.systemRootsDer ?: if (options.caPem == null) systemRoots() else null,
            )
            val native = try {
                NativeClient.open(complete, hearing, store)
            } catch (error: ClientException) {
                throw CloudSignalException(error)
            }
            hearing.begin(native)
            CloudSignal(native, hearing, scope)
        }
    }
}

private fun SubscribeOptions.aheadMessages(): Int =
    aheadMessagesMax?.coerceIn(1u, Int.MAX_VALUE.toUInt())?.toInt() ?: CloudSignal.AHEAD_MESSAGES_DEFAULT
