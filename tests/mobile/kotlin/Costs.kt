package io.cloudsignal.tests

import com.sun.management.OperatingSystemMXBean
import io.cloudsignal.CloudSignal
import io.cloudsignal.ffi.QosLevel
import io.cloudsignal.ffi.SubscribeOptions
import java.io.File
import java.lang.management.ManagementFactory
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch

private const val STARTS = 200
private const val WARM_UP_STARTS = 5

/** As many threads as coroutines and the virtual machine may add meanwhile for themselves. */
private const val THREADS_MORE_MAX = 10

/** The threads of the process as the system knows them, by their names. */
private fun threads(): List<String> = checkNotNull(File("/proc/self/task").listFiles()).mapNotNull {
    runCatching { it.resolve("comm").readText().trim() }.getOrNull() // One that has just ended has none.
}

/** Some with a message, some cut off while they connect. */
suspend fun startsAndEndsLeaveNoThread(): String {
    repeat(WARM_UP_STARTS) { startAndEnd(it) }
    val before = threads()
    repeat(STARTS) { startAndEnd(it) }
    // The thread of a client has ended when `close` is back.
    val after = threads()
    same(after.filter { it.startsWith("cloudsignal") }, emptyList<String>(), "threads of clients")
    check(after.size <= before.size + THREADS_MORE_MAX) { "threads before: $before, and after: $after" }
    return "$STARTS starts, ${before.size} threads before and ${after.size} after"
}

private suspend fun startAndEnd(round: Int) {
    val client = CloudSignal.open(World.options())
    if (round % 2 == 0) {
        client.awaitConnected()
        client.publish("mobile/start", "$round", QosLevel.entries[round % 3])
        client.subscribe("mobile/start/$round")
    }
    if (round % 3 == 0) client.close() else client.closeAndForget()
}

private const val MESSAGES = 20_000
private const val PUBLISHERS = 64
private const val PAYLOAD_BYTES = 64

private val system = ManagementFactory.getOperatingSystemMXBean() as OperatingSystemMXBean

/** What a message costs the whole process in microseconds: of its processors, and by the clock. */
private suspend fun cost(what: String, messages: Int, run: suspend () -> Unit): String {
    val (cpu, clock) = system.processCpuTime to System.nanoTime()
    run()
    val micros = { nanos: Long -> "%.1f".format(nanos / 1e3 / messages) }
    return "$what ${micros(system.processCpuTime - cpu)} us of CPU and ${micros(System.nanoTime() - clock)} us"
}

suspend fun callsCostLittle(): String = World.connected().use { client ->
    val payload = ByteArray(PAYLOAD_BYTES)
    suspend fun publish(qos: QosLevel) = coroutineScope {
        List(PUBLISHERS) {
            launch { repeat(MESSAGES / PUBLISHERS) { client.publish("mobile/cost", payload, qos) } }
        }.joinAll()
    }
    publish(QosLevel.AT_LEAST_ONCE) // The compiler of the virtual machine warms up.
    val notes = arrayListOf(
        cost("QoS 0 publish", MESSAGES) { publish(QosLevel.AT_MOST_ONCE) },
        cost("QoS 1 publish", MESSAGES) { publish(QosLevel.AT_LEAST_ONCE) },
    )
    val options = SubscribeOptions("mobile/received", QosLevel.AT_LEAST_ONCE)
    val subscription = client.subscribe(options)
    World.connected().use { other ->
        coroutineScope {
            val sending = List(PUBLISHERS) {
                launch { repeat(MESSAGES / PUBLISHERS) { other.publish("mobile/received", payload) } }
            }
            val receiving = async { subscription.messages.take(MESSAGES / PUBLISHERS * PUBLISHERS).collect() }
            notes += cost("publish and receive at QoS 1", MESSAGES) { receiving.await() }
            sending.joinAll()
        }
    }
    notes.joinToString("; ")
}
