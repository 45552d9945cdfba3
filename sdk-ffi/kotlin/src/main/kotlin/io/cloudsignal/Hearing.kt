package io.cloudsignal

import com.sun.jna.CallbackThreadInitializer
import com.sun.jna.Native
import io.cloudsignal.ffi.Ending
import io.cloudsignal.ffi.Event
import io.cloudsignal.ffi.Listener
import io.cloudsignal.ffi.NativeClient
import io.cloudsignal.ffi.Token
import io.cloudsignal.ffi.TokenFailure
import io.cloudsignal.ffi.TokenReason
import io.cloudsignal.ffi.uniffiCallbackInterfaceListener
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.launch

/** What is awaited under the number that a call has answered. */
internal class Answer(val number: ULong) {
    val event = CompletableDeferred<Event>()
}

/** Hears what happens, and finds who waits for it. It runs on the client's own thread, and never waits there. */
internal class Hearing(
    private val scope: CoroutineScope,
    private val tokens: (suspend (TokenReason) -> Token)?,
) : Listener {
    val state = MutableStateFlow<State>(State.Connecting)
    val events = MutableSharedFlow<Event>(
        extraBufferCapacity = CloudSignal.EVENTS_MAX,
        onBufferOverflow = BufferOverflow.DROP_OLDEST,
    )
    val closed = CompletableDeferred<Ending>()

    /** Says that a message has left the queue. */
    val room = Channel<Unit>(Channel.CONFLATED)

    private lateinit var native: NativeClient
    private var token: Job? = null

    /** Held for as long as a call takes, so that no answer comes before it is awaited. */
    private val lock = Any()
    private val answers = HashMap<ULong, Answer>()
    private val subscriptions = HashMap<ULong, Subscription>()

    fun begin(client: NativeClient) {
        native = client
        client.begin()
    }

    /** Makes a call whose answer comes later. */
    inline fun expect(call: () -> ULong): Answer = synchronized(lock) {
        // A client that has just ended refuses no call of its own accord.
        if (closed.isCompleted) throw closedNow()
        Answer(call()).also { answers[it.number] = it }
    }

    /** The same for a subscription. */
    inline fun listen(call: () -> Subscription): Subscription = synchronized(lock) {
        if (closed.isCompleted) throw closedNow()
        call().also { subscriptions[it.number] = it }
    }

    suspend fun await(answer: Answer): Event {
        try {
            return answer.event.await()
        } catch (cancelled: CancellationException) {
            synchronized(lock) { answers.remove(answer.number) }
            throw cancelled
        }
    }

    override fun onEvents(events: List<Event>): Unit = events.forEach(::hear)

    private fun hear(event: Event): Unit = when (event) {
        is Event.StateChanged -> state.value = event.state.told()
        is Event.SessionOpened, is Event.Unreachable, is Event.Warned, is Event.MessagesDropped -> tell(event)
        is Event.TokenWanted -> answerToken(event)
        is Event.SubscriptionGranted -> subscription(event.subscription)?.granted(event) ?: Unit
        is Event.SubscriptionEnded ->
            synchronized(lock) { subscriptions.remove(event.subscription) }?.ended(event.problem) ?: Unit
        is Event.MessageArrived -> subscription(event.message.subscription)?.arrived(event.message) ?: Unit
        is Event.PublishStored -> Unit
        is Event.PublishEnded -> {
            room.trySend(Unit)
            answer(event.ticket, event)
        }
        is Event.FlushEnded -> answer(event.ticket, event)
        is Event.GiveUpEnded -> answer(event.ticket, event)
        is Event.QuestionAnswered -> answer(event.question, event)
        is Event.QuestionFailed -> answer(event.question, event)
    }

    private fun tell(event: Event) {
        events.tryEmit(event)
    }

    private fun subscription(number: ULong): Subscription? = synchronized(lock) { subscriptions[number] }

    private fun answer(number: ULong, event: Event) {
        synchronized(lock) { answers.remove(number) }?.event?.complete(event)
    }

    /** Only the newest question counts. */
    private fun answerToken(wanted: Event.TokenWanted) {
        token?.cancel()
        token = scope.launch {
            val failure = try {
                native.provideToken(wanted.request, checkNotNull(tokens).invoke(wanted.reason))
                return@launch
            } catch (_: TokenRefusedException) {
                TokenFailure.REFUSED
            } catch (_: Exception) {
                ensureActive() // A timeout of the provider's own is a failure, a newer question is none.
                TokenFailure.FAILED
            }
            native.refuseToken(wanted.request, failure)
        }
    }

    override fun onClosed(ending: Ending) {
        // The last call: the thread ends, and Java lets go of it.
        Native.detach(true)
        token?.cancel()
        val (unanswered, open) = synchronized(lock) {
            closed.complete(ending)
            Pair(answers.values.toList(), subscriptions.values.toList()).also {
                answers.clear()
                subscriptions.clear()
            }
        }
        state.value = State.Closed(ending)
        unanswered.forEach { it.event.completeExceptionally(CloudSignalException(ending.problem)) }
        open.forEach { it.ended(ending.problem) }
        room.close()
    }

    @OptIn(kotlinx.coroutines.ExperimentalCoroutinesApi::class)
    private fun closedNow() = CloudSignalException(closed.getCompleted().problem)

    private companion object {
        init {
            // The client's thread becomes one of Java once and not for every call, and is no reason to go on for a
            // process that ends.
            val once = CallbackThreadInitializer(true, false, "cloudsignal")
            Native.setCallbackThreadInitializer(uniffiCallbackInterfaceListener.onEvents, once)
            Native.setCallbackThreadInitializer(uniffiCallbackInterfaceListener.onClosed, once)
        }
    }
}
