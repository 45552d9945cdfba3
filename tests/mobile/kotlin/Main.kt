package io.cloudsignal.tests

import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/** Far more than any scenario takes, milliseconds. */
private const val DEADLINE_MS = 20_000L

private val SCENARIOS: Map<String, suspend () -> String?> = mapOf(
    "every_qos_arrives" to { everyQosArrives(); null },
    "a_cancelled_collector_unsubscribes" to { aCancelledCollectorUnsubscribes(); null },
    "a_slow_collector_loses_nothing" to { aSlowCollectorLosesNothing(); null },
    "what_was_not_collected_comes_again" to { whatWasNotCollectedComesAgain(); null },
    "the_background_misses_nothing" to { theBackgroundMissesNothing(); null },
    "a_full_queue_is_waited_for" to { aFullQueueIsWaitedFor(); null },
    "questions_are_answered" to { questionsAreAnswered(); null },
    "tokens_come_from_a_server" to { tokensComeFromAServer(); null },
    "errors_say_who_is_to_blame" to { errorsSayWhoIsToBlame(); null },
    "the_platform_says_whom_to_trust" to { thePlatformSaysWhomToTrust(); null },
    "what_is_printed_tells_no_secret" to { whatIsPrintedTellsNoSecret(); null },
    "starts_and_ends_leave_no_thread" to ::startsAndEndsLeaveNoThread,
    "calls_cost_little" to ::callsCostLittle,
)

/** Runs the scenarios; each prints its name, and a note after it. The first that fails ends the program. */
fun main() {
    for ((name, scenario) in SCENARIOS) {
        try {
            val note = runBlocking { withTimeout(DEADLINE_MS) { scenario() } }
            println(if (note == null) name else "$name: $note")
        } catch (failed: Throwable) {
            System.err.println("$name has failed")
            failed.printStackTrace()
            exitProcess(1)
        }
    }
}
