import CloudSignal
import Foundation

/// A device publishes its readings and hears them, whatever happens to its network meanwhile.
@main
struct Device {
    static let readings = 20
    static let pauseNanos: UInt64 = 100_000_000

    static func main() async throws {
        let environment = ProcessInfo.processInfo.environment
        let server = try TokenServer(environment)
        var options = ClientOptions(url: environment["CLOUDSIGNAL_MQTT_URL"] ?? "mqtt://localhost:1883")
        options.caPem = try environment["CLOUDSIGNAL_CA_FILE"].map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
        let client = try await CloudSignalClient.open(options, tokens: { _ in try await server.token("device@example.com") })
        let watching = Task {
            for await state in client.states {
                print(state)
            }
        }
        let messages = try await client.messages("devices/+/readings", qos: .exactlyOnce)
        _ = try await messages.granted()
        let hearing = Task {
            var heard = 0
            for try await message in messages {
                print("heard \(String(decoding: message.payload, as: UTF8.self))")
                heard += 1
                if heard == readings { break }
            }
            return heard
        }
        for number in 1...readings {
            try await client.publish("reading \(number)", to: "devices/ada/readings", qos: .exactlyOnce)
            print("published reading \(number)")
            try await Task.sleep(nanoseconds: pauseNanos)
        }
        print("heard all \(try await hearing.value)")
        watching.cancel()
        try await client.close()
    }
}
