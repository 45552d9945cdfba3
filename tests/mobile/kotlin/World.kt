package io.cloudsignal.tests

import io.cloudsignal.CloudSignal
import io.cloudsignal.ffi.ClientOptions
import io.cloudsignal.ffi.Login
import io.cloudsignal.ffi.Secret
import io.cloudsignal.ffi.Token
import java.io.File
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse.BodyHandlers
import java.security.KeyStore
import java.security.cert.CertificateFactory
import javax.net.ssl.SSLContext
import javax.net.ssl.TrustManagerFactory
import kotlinx.coroutines.delay

/** Where the broker is, as the environment says, and what it says over HTTP. */
object World {
    val url = wanted("CS_TEST_URL")
    private val api = wanted("CS_TEST_API")
    private val secretKey = wanted("CS_TEST_SECRET_KEY")
    private val caFile = File(wanted("CS_TEST_CA_FILE"))
    private val http = HttpClient.newBuilder().sslContext(trusting(trusted())).build()
    val login = Login.Password(wanted("CS_TEST_USERNAME"), Secret.ofText(wanted("CS_TEST_PASSWORD")))

    private fun wanted(name: String): String = checkNotNull(System.getenv(name)) { "$name is not set" }

    fun options(clientId: String? = null, login: Login? = this.login) =
        ClientOptions(url, login, clientId, caPem = caFile.readBytes(), reconnectFirstMs = 20u, reconnectMaxMs = 100u)

    /** A client that the broker has accepted. */
    suspend fun connected(options: ClientOptions = options()): CloudSignal =
        CloudSignal.open(options).also { it.awaitConnected() }

    /** The filters that the broker knows of a client. */
    fun filters(clientId: String): List<String> {
        val session = send("GET", "/v2/sessions/$clientId", null)
        return Regex("\"filter\":\"([^\"]*)\"").findAll(session).map { it.groupValues[1] }.toList()
    }

    /** A token as a server of the application would get it. */
    fun token(email: String): Token {
        val body = """{"user_email":"$email","ttl":3600}"""
        val text = send("POST", "/v2/tokens/create", body)
        val field = { name: String -> checkNotNull(Regex("\"$name\":\"([^\"]*)\"").find(text)) { text }.groupValues[1] }
        return Token(field("username"), Secret.ofText(field("password")), 3_600_000uL)
    }

    private fun send(method: String, path: String, body: String?): String {
        val publisher = body?.let(HttpRequest.BodyPublishers::ofString) ?: HttpRequest.BodyPublishers.noBody()
        val request = HttpRequest.newBuilder(URI(api + path))
            .header("authorization", "Bearer $secretKey")
            .header("content-type", "application/json")
            .method(method, publisher)
        val answer = http.send(request.build(), BodyHandlers.ofString())
        check(answer.statusCode() == 200) { "$path: ${answer.statusCode()} ${answer.body()}" }
        return answer.body()
    }

    /** A trust store with the broker's authority, and nobody else; of a kind that is read without a password. */
    fun trusted(): KeyStore {
        val authority = caFile.inputStream().use { CertificateFactory.getInstance("X.509").generateCertificate(it) }
        return KeyStore.getInstance("JKS").apply {
            load(null, null)
            setCertificateEntry("broker", authority)
        }
    }

    private fun trusting(store: KeyStore): SSLContext {
        val managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()).apply { init(store) }
        return SSLContext.getInstance("TLS").apply { init(null, managers.trustManagers, null) }
    }
}

/** Awaits what has to be asked for again and again. */
suspend fun until(what: String, isSo: suspend () -> Boolean) {
    repeat(ASKS_MAX) {
        if (isSo()) return
        delay(PAUSE_MS)
    }
    error("in vain: $what")
}

private const val PAUSE_MS = 20L
private const val ASKS_MAX = 1_500

fun same(got: Any?, wanted: Any?, what: String) = check(got == wanted) { "$what: got $got, wanted $wanted" }
