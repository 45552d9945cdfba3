import CloudSignal
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Where tokens come from. Here the device asks the broker itself, with the organization's secret key; an application asks a
/// server of its own, which has the key and knows its users.
struct TokenServer: Sendable {
    static let lifetimeSecs: UInt64 = 3_600

    private let url: URL
    private let key: String

    init(_ environment: [String: String]) throws {
        guard let key = environment["CLOUDSIGNAL_SECRET_KEY"] else { throw Problem.noKey }
        let base = environment["CLOUDSIGNAL_API_URL"] ?? "http://localhost:18080"
        guard let url = URL(string: base + "/v2/tokens/create") else { throw Problem.noAddress(base) }
        self.key = key
        self.url = url
    }

    /// A token for one user; the client asks again before it ends.
    func token(_ email: String) async throws -> Token {
        var request = URLRequest(url: url)
        request.httpMethod = "POST"
        request.setValue("Bearer \(key)", forHTTPHeaderField: "Authorization")
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.httpBody = try JSONEncoder().encode(Request(user_email: email, ttl: Self.lifetimeSecs))
        let (data, _) = try await URLSession.shared.data(for: request)
        let login = try JSONDecoder().decode(Answer.self, from: data).mqtt_credentials
        return Token(
            username: login.username,
            password: Secret.ofText(text: login.password),
            lifetimeMs: Self.lifetimeSecs * 1_000
        )
    }

    enum Problem: Error {
        case noKey
        case noAddress(String)
    }

    private struct Request: Encodable {
        let user_email: String
        let ttl: UInt64
    }

    private struct Answer: Decodable {
        struct Login: Decodable {
            let username: String
            let password: String
        }

        let mqtt_credentials: Login
    }
}
