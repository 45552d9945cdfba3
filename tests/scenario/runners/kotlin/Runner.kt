import io.cloudsignal.CloudSignal
import io.cloudsignal.State
import io.cloudsignal.Subscription
import io.cloudsignal.ffi.ClientOptions
import io.cloudsignal.ffi.Event
import io.cloudsignal.ffi.PublishOutcome
import io.cloudsignal.ffi.QosLevel
import io.cloudsignal.ffi.Secret
import io.cloudsignal.ffi.Token
import io.cloudsignal.ffi.TokenReason
import io.cloudsignal.ffi.Will
import java.io.File
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelChildren
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext

/** The scenario's commands, carried out by our library for Kotlin: see ../../README.md. Everything runs on one thread. */
private class Runner(private val scope: CoroutineScope) {
    private val tokens = Channel<Command>(Channel.UNLIMITED)
    private val outcomes = Channel<Pair<String, Deferred<PublishOutcome>>>(Channel.UNLIMITED)
    private val subscriptions = HashMap<String, Subscription>()
    private lateinit var client: CloudSignal

    /** Says whether another command may come. */
    suspend fun obey(command: Command): Boolean {
        when (command.text("do")) {
            "open" -> open(command)
            "token" -> tokens.send(command)
            "subscribe" -> scope.launch { read(command.text("filter"), command.qos()) }
            "unsubscribe" -> scope.launch { unsubscribe(command.text("filter")) }
            "publish" -> publish(command)
            "suspend" -> client.background()
            "resume" -> client.foreground()
            "close" -> {
                client.close()
                tell("closed")
                return false
            }
            else -> error("nobody knows $command")
        }
        return true
    }

    private suspend fun open(command: Command) {
        val will = Will(command.text("topic"), command.text("payload").encodeToByteArray(), command.qos())
        val options = ClientOptions(
            command.text("url"),
            clientId = command.text("client_id"),
            caPem = File(command.text("ca_file")).readBytes(),
            will = will,
            reconnectFirstMs = 100u,
            reconnectMaxMs = 100u,
        )
        client = CloudSignal.open(options, tokens = ::token)
        scope.launch(start = CoroutineStart.UNDISPATCHED) { client.events.collect(::tellSession) }
        scope.launch { client.state.collect { if (it is State.Suspended) tell("suspended") } }
        scope.launch { tellOutcomes() }
    }

    private suspend fun token(reason: TokenReason): Token {
        tell("token_wanted", "reason" to reason.name.lowercase())
        val command = tokens.receive()
        return Token(null, Secret.ofText(command.text("password")), command.number("lifetime_ms").toULong())
    }

    private fun tellSession(event: Event) {
        if (event is Event.SessionOpened) tell("session", "continuity" to event.continuity.name.lowercase())
    }

    private suspend fun read(filter: String, qos: QosLevel) {
        val subscription = client.subscribe(filter, qos)
        subscriptions[filter] = subscription
        tell("subscribed", "filter" to filter, "qos" to subscription.awaitGranted().ordinal)
        subscription.messages.collect {
            val payload = it.payload.decodeToString()
            tell(
                "message",
                "topic" to it.topic,
                "payload" to payload,
                "qos" to it.qos.ordinal,
                "retained" to it.isRetained,
            )
        }
    }

    private suspend fun unsubscribe(filter: String) {
        checkNotNull(subscriptions.remove(filter)).unsubscribe()
        tell("unsubscribed", "filter" to filter)
    }

    private suspend fun publish(command: Command) {
        val count = command.find("count")?.toInt()
        for (number in 0..<(count ?: 1)) {
            val payload = command.text("payload") + if (count == null) "" else "-$number"
            // Begun here, so that they leave in this order.
            val outcome = scope.async(start = CoroutineStart.UNDISPATCHED) {
                client.publish(command.text("topic"), payload, command.qos(), command.find("retain") == "true")
            }
            outcomes.send(payload to outcome)
        }
    }

    private suspend fun tellOutcomes() {
        for ((payload, outcome) in outcomes) {
            val told = when (val it = outcome.await()) {
                is PublishOutcome.Sent -> "sent"
                is PublishOutcome.Acknowledged -> "acknowledged"
                else -> "$it"
            }
            tell("published", "payload" to payload, "outcome" to told)
        }
    }
}

/** A line of JSON whose strings have nothing to escape, and whose names occur once. */
private class Command(private val line: String) {
    fun find(name: String): String? = Regex("\"$name\":(?:\"([^\"]*)\"|([^,}]+))").find(line)?.let { found ->
        found.groups[1]?.value ?: found.groupValues[2].trim()
    }

    fun text(name: String): String = checkNotNull(find(name)) { "no $name in $line" }

    fun number(name: String): Long = text(name).toLong()

    fun qos(): QosLevel = QosLevel.entries[text("qos").toInt()]

    override fun toString(): String = line
}

private fun tell(event: String, vararg fields: Pair<String, Any>) {
    val all = listOf("event" to event, *fields)
    println(all.joinToString(",", "{", "}") { (name, value) -> if (value is String) "\"$name\":\"$value\"" else "\"$name\":$value" })
}

fun main(): Unit = runBlocking {
    val runner = Runner(this)
    do {
        val line = withContext(Dispatchers.IO) { readlnOrNull() } ?: break
    } while (runner.obey(Command(line)))
    coroutineContext.cancelChildren()
}
