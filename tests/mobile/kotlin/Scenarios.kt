package io.cloudsignal.tests

import io.cloudsignal.CloudSignal
import io.cloudsignal.CloudSignalException
import io.cloudsignal.State
import io.cloudsignal.TokenRefusedException
import io.cloudsignal.ffi.Blame
import io.cloudsignal.ffi.ClientCertificate
import io.cloudsignal.ffi.CloseReason
import io.cloudsignal.ffi.Event
import io.cloudsignal.ffi.Login
import io.cloudsignal.ffi.Publication
import io.cloudsignal.ffi.PublishOutcome
import io.cloudsignal.ffi.QosLevel
import io.cloudsignal.ffi.Secret
import io.cloudsignal.ffi.SubscribeOptions
import io.cloudsignal.ffi.Token
import io.cloudsignal.ffi.TokenReason
import io.cloudsignal.ffi.UserProperty
import kotlin.io.path.createTempDirectory
import kotlin.io.path.createTempFile
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch

suspend fun everyQosArrives() = World.connected().use { client ->
    val subscription = client.subscribe("mobile/qos/#", QosLevel.EXACTLY_ONCE)
    val retained = Publication(
        "mobile/qos/kept",
        "as it was".encodeToByteArray(),
        QosLevel.AT_LEAST_ONCE,
        contentType = "text/plain",
        userProperties = listOf(UserProperty("color", "blue"), UserProperty("color", "red")),
    )
    same(client.publish("mobile/qos/0", "zero", QosLevel.AT_MOST_ONCE), PublishOutcome.Sent, "QoS 0")
    same(client.publish("mobile/qos/1", "one"), PublishOutcome.Acknowledged(0u), "QoS 1")
    same(client.publish("mobile/qos/2", "two", QosLevel.EXACTLY_ONCE), PublishOutcome.Acknowledged(0u), "QoS 2")
    client.publish(retained)
    val got = subscription.messages.take(4).toList()
    same(got.map { it.payload.decodeToString() }, listOf("zero", "one", "two", "as it was"), "payloads")
    same(got.map { it.qos }, QosLevel.entries + QosLevel.AT_LEAST_ONCE, "QoS")
    same(got[3].contentType, "text/plain", "content type")
    same(got[3].userProperties, retained.userProperties, "user properties")

    client.publish("mobile/kept", "still there", retain = true)
    val kept = client.messages("mobile/kept").first()
    same(kept.payload.decodeToString() to kept.isRetained, "still there" to true, "what was kept")
    client.publish("mobile/kept", ByteArray(0), retain = true)
}

suspend fun aCancelledCollectorUnsubscribes(): Unit = coroutineScope {
    World.connected().use { client ->
        val arrived = CompletableDeferred<Unit>()
        val collector = launch {
            client.messages("mobile/cancelled/+").collect { arrived.complete(Unit) }
        }
        until("a subscription at the broker") { World.filters(client.clientId) == listOf("mobile/cancelled/+") }
        client.publish("mobile/cancelled/1", "hello")
        arrived.await()
        collector.cancelAndJoin()
        until("its end at the broker") { World.filters(client.clientId).isEmpty() }

        // A collector that has enough ends it, too, and so does one that throws.
        val first = async { client.messages("mobile/enough").first() }
        until("another subscription") { World.filters(client.clientId) == listOf("mobile/enough") }
        client.publish("mobile/enough", "one")
        client.publish("mobile/enough", "two")
        same(first.await().payload.decodeToString(), "one", "the first")
        until("its end at the broker") { World.filters(client.clientId).isEmpty() }
        val subscription = client.subscribe("mobile/throws")
        same(World.filters(client.clientId), listOf("mobile/throws"), "granted means subscribed")
        client.publish("mobile/throws", "one")
        val thrown = runCatching { subscription.messages.collect { error("enough") } }
        same(thrown.exceptionOrNull()?.message, "enough", "what a collector throws")
        until("its end at the broker") { World.filters(client.clientId).isEmpty() }

        // Unsubscribing by hand ends the flow, when the broker has heard.
        val left = client.subscribe("mobile/left")
        left.unsubscribe()
        same(World.filters(client.clientId), emptyList<String>(), "what the broker knows")
        same(left.messages.toList(), emptyList<Any>(), "messages of a subscription that has ended")
    }
}

private const val SLOW_MESSAGES = 2_000
private const val SLOW_AHEAD = 8u

suspend fun aSlowCollectorLosesNothing() = coroutineScope {
    World.connected().use { client ->
        val slow = client.subscribe(SubscribeOptions("mobile/slow", QosLevel.EXACTLY_ONCE, aheadMessagesMax = SLOW_AHEAD))
        val gate = CompletableDeferred<Unit>()
        val received = async {
            val got = ArrayList<String>()
            slow.messages.take(SLOW_MESSAGES).collect {
                gate.await()
                got += it.payload.decodeToString()
            }
            got
        }
        World.connected().use { other ->
            val sending = List(SLOW_MESSAGES) { async { other.publish("mobile/slow", "$it", QosLevel.EXACTLY_ONCE) } }
            sending.awaitAll()
        }
        gate.complete(Unit)
        same(received.await(), List(SLOW_MESSAGES) { "$it" }, "messages in order")
    }
}

/** Acknowledged is what the collector took: the next client with the same store gets the rest, and nothing else. */
suspend fun whatWasNotCollectedComesAgain() = coroutineScope {
    val folder = createTempDirectory("store").toFile()
    val options = World.options("collector").copy(storeFolder = folder.path)
    val taken = CompletableDeferred<Unit>()
    val first = World.connected(options)
    val collector = launch {
        var count = 0
        first.messages("mobile/again").collect {
            if (++count > 3) {
                taken.complete(Unit)
                CompletableDeferred<Unit>().await()
            }
        }
    }
    until("a subscription at the broker") { World.filters("collector").isNotEmpty() }
    World.connected().use { other -> repeat(6) { other.publish("mobile/again", "$it") } }
    taken.await()
    // Closed under its collector, which is then told.
    same(first.close().why, CloseReason.BY_CALLER, "its end")
    collector.cancelAndJoin()
    World.connected(options).use { second ->
        val rest = second.messages("mobile/again").take(3).toList()
        same(rest.map { it.payload.decodeToString() }, listOf("3", "4", "5"), "what comes again")
    }
    folder.deleteRecursively()
}

suspend fun theBackgroundMissesNothing() = coroutineScope {
    World.connected().use { client ->
        val subscription = client.subscribe("mobile/background")
        val isForeground = MutableStateFlow(true)
        val following = launch { client.follow(isForeground) }
        isForeground.value = false
        client.state.first { it is State.Suspended }
        val outgoing = async { client.publish("mobile/from-background", "later") }
        World.connected().use { other ->
            val heard = other.subscribe("mobile/from-background")
            repeat(3) { other.publish("mobile/background", "$it") }
            same(outgoing.isCompleted, false, "nothing leaves in the background")
            isForeground.value = true
            client.state.first { it is State.Connected }
            same(heard.messages.first().payload.decodeToString(), "later", "what waited")
        }
        same(outgoing.await(), PublishOutcome.Acknowledged(0u), "what waited")
        val got = subscription.messages.take(3).toList().map { it.payload.decodeToString() }
        same(got, listOf("0", "1", "2"), "what came meanwhile")
        following.cancelAndJoin()
    }
}

private const val QUEUE_MESSAGES = 50u
private const val CROWD = 3_000

suspend fun aFullQueueIsWaitedFor() = coroutineScope {
    World.connected(World.options().copy(queueMessagesMax = QUEUE_MESSAGES)).use { client ->
        client.background()
        client.state.first { it is State.Suspended }
        // Far more than the queue takes, and the thousand that may wait before it.
        val crowd = List(CROWD) { async { client.publish("mobile/crowd", "$it") } }
        client.foreground()
        val outcomes = crowd.awaitAll().toSet()
        check(outcomes.all { it is PublishOutcome.Acknowledged }) { "$outcomes" }
        client.flush()
    }
}

suspend fun questionsAreAnswered() = coroutineScope {
    World.connected().use { client ->
        val nobody = runCatching { client.ask(question("mobile/nobody")) }.exceptionOrNull()
        same((nobody as? CloudSignalException)?.blame, Blame.REFUSED, "a question to nobody: $nobody")
        val questions = client.subscribe("mobile/question")
        val answering = launch {
            questions.messages.collect { client.answer(it, it.payload.reversedArray()) }
        }
        same(client.ask(question("mobile/question")).payload.decodeToString(), "?yhw", "the answer")
        answering.cancelAndJoin()

        client.subscribe("mobile/silence")
        val silence = runCatching { client.ask(question("mobile/silence"), 0.2.seconds) }.exceptionOrNull()
        same((silence as? CloudSignalException)?.blame, Blame.NETWORK, "a question to a silent one: $silence")
        val asking = launch { client.ask(question("mobile/silence")) }
        asking.cancelAndJoin()
    }
}

private fun question(topic: String) = Publication(topic, "why?".encodeToByteArray(), QosLevel.AT_LEAST_ONCE)

suspend fun tokensComeFromAServer() {
    val reasons = ArrayList<TokenReason>()
    val options = World.options(login = null)
    val provider: suspend (TokenReason) -> io.cloudsignal.ffi.Token = {
        reasons += it
        if (reasons.size == 1) error("the server is not there yet")
        World.token("ada@example.com")
    }
    CloudSignal.open(options, tokens = provider).use { client ->
        client.awaitConnected()
        same(client.publish("mobile/token", "hello") is PublishOutcome.Acknowledged, true, "a message")
    }
    same(reasons, listOf(TokenReason.INITIAL, TokenReason.INITIAL), "why tokens were asked for")

    val refused = CloudSignal.open(options, tokens = { throw TokenRefusedException("logged out") })
    val closed = refused.state.first { it is State.Closed } as State.Closed
    same(closed.ending.why, CloseReason.TOKEN_REFUSED, "why it has ended")
    same(refused.close(), closed.ending, "its end once more")
}

private suspend fun blame(what: String, wanted: Blame, call: suspend () -> Unit) {
    val error = runCatching { call() }.exceptionOrNull()
    check(error is CloudSignalException && error.blame == wanted && !error.message.isNullOrEmpty()) { "$what: $error" }
}

suspend fun errorsSayWhoIsToBlame() {
    val client = World.connected()
    blame("a topic with a wildcard", Blame.USAGE) { client.publish("mobile/#", "") }
    blame("a filter that is none", Blame.USAGE) { client.messages("mobile/#/more").first() }
    blame("a subscription that is not allowed", Blame.REFUSED) { client.subscribe("forbidden/#") }
    blame("the same as a flow", Blame.REFUSED) { client.messages("forbidden/#").first() }
    blame("a URL that is none", Blame.USAGE) { CloudSignal.open(World.options().copy(url = "gopher://localhost")) }
    blame("an answer to what is no question", Blame.USAGE) {
        val plain = client.subscribe("mobile/plain")
        client.publish("mobile/plain", "no question")
        client.answer(plain.messages.first(), ByteArray(0))
    }
    client.close()
    client.close()
    blame("a closed client", Blame.CLOSED) { client.publish("mobile/late", "") }
    blame("a subscription of a closed client", Blame.CLOSED) { client.messages("mobile/late").first() }
    blame("foreground of a closed client", Blame.CLOSED) { client.foreground() }
    val stranger = World.options(login = Login.Password("nobody", Secret.ofText("wrong")))
    val refused = CloudSignal.open(stranger)
    blame("a login that is wrong", Blame.CLOSED) { refused.awaitConnected() }
    same(refused.close().why, CloseReason.REFUSED, "its end")
}

fun whatIsPrintedTellsNoSecret() {
    val text = "s3cret"
    val secret = Secret.ofText(text)
    val options = World.options(login = Login.Password("me", secret))
        .copy(certificate = ClientCertificate(ByteArray(0), Secret(text.encodeToByteArray())))
    val told = "$options ${Token(password = secret)}"
    for (form in listOf(text, text.encodeToByteArray().joinToString())) {
        check(form !in told) { told }
    }
}

private const val TRUST_STORE = "javax.net.ssl.trustStore"

/** Nothing pinned: the broker's authority is nobody to this virtual machine, until it stands in its trust store. */
suspend fun thePlatformSaysWhomToTrust() {
    val options = World.options().copy(caPem = null)
    val stranger = CloudSignal.open(options)
    val told = stranger.events.first { it is Event.Unreachable } as Event.Unreachable
    check("certificate" in told.detail) { told.detail }
    stranger.close()
    val file = createTempFile("trust", ".jks").toFile()
    try {
        file.outputStream().use { World.trusted().store(it, CharArray(0)) }
        System.setProperty(TRUST_STORE, file.path)
        World.connected(options).close()
        file.writeText("no store")
        blame("a trust store that is none", Blame.STORAGE) { CloudSignal.open(options) }
    } finally {
        System.clearProperty(TRUST_STORE)
        file.delete()
    }
}
