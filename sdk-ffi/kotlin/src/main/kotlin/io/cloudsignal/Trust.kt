package io.cloudsignal

import java.security.GeneralSecurityException
import java.security.KeyStore
import javax.net.ssl.TrustManagerFactory
import javax.net.ssl.X509TrustManager

/**
 * Whom the platform trusts, in DER: on Android the system, and the user where the application's network security
 * configuration says so; elsewhere the trust store of the virtual machine (`javax.net.ssl.trustStore`). `null` when it knows
 * nobody: then the library looks where the system keeps them.
 */
internal fun systemRoots(): List<ByteArray>? {
    val factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm())
    try {
        factory.init(null as KeyStore?)
    } catch (error: GeneralSecurityException) {
        throw CloudSignalException.storage("the platform's trust store cannot be read: ${error.message}", error)
    }
    val managers = factory.trustManagers.filterIsInstance<X509TrustManager>()
    return managers.flatMap { it.acceptedIssuers.asList() }.map { it.encoded }.ifEmpty { null }
}
