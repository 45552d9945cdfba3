import CloudSignal
import Foundation
import XCTest

/// Against the broker that the environment names: `cargo test -p cloudsignal-tests --test mobile -- --ignored` starts one.
final class CloudSignalTests: XCTestCase {
    private func wanted(_ name: String) throws -> String {
        try XCTUnwrap(ProcessInfo.processInfo.environment[name], "\(name) is not set")
    }

    private func options() throws -> ClientOptions {
        let password = Secret.ofText(text: try wanted("CS_TEST_PASSWORD"))
        return ClientOptions(
            url: try wanted("CS_TEST_URL"),
            login: .password(username: try wanted("CS_TEST_USERNAME"), password: password),
            caPem: try Data(contentsOf: URL(fileURLWithPath: try wanted("CS_TEST_CA_FILE")))
        )
    }

    private func connected() async throws -> CloudSignalClient {
        let client = try await CloudSignalClient.open(try options())
        try await client.awaitConnected()
        return client
    }

    func testEveryQosArrives() async throws {
        let client = try await connected()
        let messages = try await client.messages("mobile/qos", qos: .exactlyOnce)
        _ = try await messages.granted()
        for qos in [QosLevel.atMostOnce, .atLeastOnce, .exactlyOnce] {
            try await client.publish("\(qos)", to: "mobile/qos", qos: qos)
        }
        var got: [String] = []
        for try await message in messages {
            got.append(String(decoding: message.payload, as: UTF8.self))
            if got.count == 3 { break }
        }
        XCTAssertEqual(got, ["atMostOnce", "atLeastOnce", "exactlyOnce"])
        try await client.close()
    }

    /// A message to a topic that only the left loop listened to reaches nobody: the broker says so by its reason code.
    func testALoopThatIsCancelledUnsubscribes() async throws {
        let client = try await connected()
        let noSubscribers = PublishOutcome.acknowledged(reason: 0x10)
        let messages = try await client.messages("mobile/left")
        _ = try await messages.granted()
        let reading = Task { for try await _ in messages {} }
        let heard = try await client.publish("hello", to: "mobile/left")
        XCTAssertNotEqual(heard, noSubscribers)
        reading.cancel()
        try await messages.unsubscribe()
        let unheard = try await client.publish("hello", to: "mobile/left")
        XCTAssertEqual(unheard, noSubscribers)
        try await client.close()
    }

    func testTheBackgroundMissesNothing() async throws {
        let (client, other) = (try await connected(), try await connected())
        let messages = try await client.messages("mobile/background")
        _ = try await messages.granted()
        try client.suspend()
        for await state in client.states where state == .suspended { break }
        for number in 0..<3 {
            try await other.publish("\(number)", to: "mobile/background")
        }
        try client.resume()
        var got: [String] = []
        for try await message in messages {
            got.append(String(decoding: message.payload, as: UTF8.self))
            if got.count == 3 { break }
        }
        XCTAssertEqual(got, ["0", "1", "2"])
        try await other.close()
        try await client.close()
    }

    func testErrorsSayWhoIsToBlame() async throws {
        let client = try await connected()
        do {
            try await client.publish("", to: "mobile/#")
            XCTFail("a topic with a wildcard")
        } catch let error as CloudSignalError {
            XCTAssertEqual(error.blame, .usage)
        }
        let ending = try await client.close()
        XCTAssertEqual(ending.why, .byCaller)
        do {
            try await client.publish("", to: "mobile/late")
            XCTFail("a client that is closed")
        } catch let error as CloudSignalError {
            XCTAssertEqual(error.blame, .closed)
        }
    }

    func testWhatIsPrintedTellsNoSecret() {
        let secret = Secret.ofText(text: "s3cret")
        let options = ClientOptions(
            url: "mqtts://localhost",
            login: .password(username: "me", password: secret),
            certificate: ClientCertificate(chainPem: Data(), keyPem: secret)
        )
        var told = String(describing: options) + String(reflecting: Token(password: secret))
        dump(options, to: &told)
        for text in ["s3cret", Array("s3cret".utf8).map(String.init).joined(separator: ", ")] {
            XCTAssertFalse(told.contains(text), told)
        }
    }

    func testStartsAndEnds() async throws {
        for _ in 0..<200 {
            let client = try await CloudSignalClient.open(try options())
            try await client.closeAndForget()
        }
    }
}
