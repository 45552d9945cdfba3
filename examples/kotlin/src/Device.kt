import io.cloudsignal.CloudSignal
import io.cloudsignal.State
import io.cloudsignal.ffi.ClientOptions
import io.cloudsignal.ffi.QosLevel
import java.io.File
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch

private const val READINGS = 20
private val PAUSE = 100.milliseconds

/** A device publishes its readings and hears them, whatever happens to its network meanwhile. */
suspend fun main(): Unit = coroutineScope {
    val server = TokenServer()
    val ca = System.getenv("CLOUDSIGNAL_CA_FILE")?.let { File(it).readBytes() }
    val options = ClientOptions(System.getenv("CLOUDSIGNAL_MQTT_URL") ?: "mqtt://localhost:1883", caPem = ca)
    CloudSignal.open(options, tokens = { server.token("device@example.com") }).use { client ->
        val watching = launch { client.state.collect { println(say(it)) } }
        val readings = client.subscribe("devices/+/readings", QosLevel.EXACTLY_ONCE)
        val heard = async {
            readings.messages.onEach { println("heard ${it.payload.decodeToString()}") }.take(READINGS).toList()
        }
        for (number in 1..READINGS) {
            client.publish("devices/ada/readings", "reading $number", QosLevel.EXACTLY_ONCE)
            println("published reading $number")
            delay(PAUSE)
        }
        println("heard all ${heard.await().size}")
        watching.cancel()
    }
}

private fun say(state: State): String = when (state) {
    is State.Connecting -> "connecting"
    is State.Connected -> "connected"
    is State.Waiting -> "no connection (${state.why}), next attempt in ${state.retryIn}"
    is State.Suspended -> "suspended"
    is State.Closed -> "closed: ${state.ending.problem.detail}"
}
