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
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/**
 * Where tokens come from. Here the device asks the broker itself, with the organization's secret key; an application asks
 * a server of its own, which has the key and knows its users.
 */
class TokenServer {
    private val url = System.getenv("CLOUDSIGNAL_API_URL") ?: "http://localhost:18080"
    private val key = checkNotNull(System.getenv("CLOUDSIGNAL_SECRET_KEY")) {
        "CLOUDSIGNAL_SECRET_KEY is not set: the first start of the broker prints one"
    }
    private val http = HttpClient.newBuilder().apply {
        System.getenv("CLOUDSIGNAL_CA_FILE")?.let { sslContext(trusting(File(it))) }
    }.build()

    /** A token for one user; the client asks again before it ends. */
    suspend fun token(email: String): Token = withContext(Dispatchers.IO) {
        val request = HttpRequest.newBuilder(URI("$url/v2/tokens/create"))
            .header("authorization", "Bearer $key")
            .header("content-type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString("""{"user_email":"$email","ttl":$LIFETIME_SECS}"""))
        val answer = http.send(request.build(), BodyHandlers.ofString())
        check(answer.statusCode() == 200) { "no token: ${answer.statusCode()} ${answer.body()}" }
        // A real application has a JSON library.
        val field = { name: String -> Regex("\"$name\":\"([^\"]*)\"").find(answer.body())!!.groupValues[1] }
        Token(field("username"), Secret.ofText(field("password")), LIFETIME_SECS * 1_000uL)
    }

    private fun trusting(file: File): SSLContext {
        val authority = file.inputStream().use { CertificateFactory.getInstance("X.509").generateCertificate(it) }
        val store = KeyStore.getInstance(KeyStore.getDefaultType()).apply {
            load(null, null)
            setCertificateEntry("broker", authority)
        }
        val managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()).apply { init(store) }
        return SSLContext.getInstance("TLS").apply { init(null, managers.trustManagers, null) }
    }

    private companion object {
        const val LIFETIME_SECS = 3_600uL
    }
}
